"""API keys: a file of names and hashes, one a line: `name sha256-of-the-key`.

Keys are made by `new_key`: 256 random bits. So a plain SHA-256 is enough; slow hashes are for passwords that people
choose.
"""

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from pathlib import Path

from medclf.errors import OptionError, RequestError

LINE = re.compile(r"([A-Za-z0-9._-]{1,64})\s+([0-9a-f]{64})")


class Keys:
    """Who may ask."""

    def __init__(self, hashes: Mapping[str, bytes]) -> None:
        """Take the keys.

        Args:
            hashes: Name -> SHA-256 of the key.
        """
        self._hashes = dict(hashes)

    @classmethod
    def read(cls, path: Path) -> "Keys":
        """Read a file of keys.

        Args:
            path: Its path. Empty lines and those that begin with # are passed over.

        Returns:
            The keys.

        Raises:
            OptionError: A line is not a name and a hash, a name repeats, or there is no key.
        """
        hashes: dict[str, bytes] = {}
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
            line = line.strip()
            if not line or line.startswith("#"):
                continue
            match = LINE.fullmatch(line)
            if match is None:  # the line is not shown: it could hold a key in plain
                raise OptionError(
                    f"{path}, line {number}: expected a name and the SHA-256 of a key in hex. "
                    "medclf-serve --new-api-key NAME writes such a line."
                )
            if match[1] in hashes:
                raise OptionError(f"{path}, line {number}: the name {match[1]} stands there twice.")
            hashes[match[1]] = bytes.fromhex(match[2])
        if not hashes:
            raise OptionError(f"{path} holds no key. Make one with medclf-serve --new-api-key NAME.")
        return cls(hashes)

    def name(self, authorization: str | None, x_api_key: str | None) -> str:
        """Say whose key a request shows.

        Args:
            authorization: Its header `Authorization`: `Bearer KEY`, or `Basic` with the key as password.
            x_api_key: Its header `X-API-Key`.

        Returns:
            The name.

        Raises:
            RequestError: 401, no key or a wrong one.
        """
        shown = hashlib.sha256(_shown(authorization, x_api_key).encode()).digest()
        found = None
        for name, known in self._hashes.items():  # all of them: the time taken tells nothing
            if hmac.compare_digest(shown, known):
                found = name
        if found is None:
            raise RequestError(
                "an API key is needed: send it as Authorization: Bearer KEY.", status=401, error_type="Unauthorized"
            )
        return found


def new_key() -> tuple[str, str]:
    """Make a key.

    Returns:
        The key, and the hash that goes into the file.
    """
    key = secrets.token_urlsafe(32)
    return key, hashlib.sha256(key.encode()).hexdigest()


def add_key(path: Path, name: str) -> str:
    """Make a key and write its hash into a file.

    Args:
        path: The file, made if it is not there.
        name: Whose it is.

    Returns:
        The key, which is written nowhere.

    Raises:
        OptionError: The name is in use, or has other characters than letters, digits, `.`, `_` and `-`.
    """
    key, hashed = new_key()
    if LINE.fullmatch(f"{name} {hashed}") is None:
        raise OptionError("--new-api-key: a name has 1 to 64 letters, digits, ., _ and -.")
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    if any(line.split()[:1] == [name] for line in before.splitlines()):
        raise OptionError(f"{path} has a key called {name} already. Take another name, or remove that line first.")
    path.touch(mode=0o600)
    with path.open("a", encoding="utf-8") as file:
        file.write(("" if not before or before.endswith("\n") else "\n") + f"{name} {hashed}\n")
    return key


def _shown(authorization: str | None, x_api_key: str | None) -> str:
    kind, _, value = (authorization or "").partition(" ")
    if kind.lower() == "bearer":
        return value.strip()
    if kind.lower() == "basic":  # what a browser sends after it has asked; any user name
        try:
            return base64.b64decode(value, validate=True).decode("utf-8").partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return ""
    return x_api_key or ""
