"""Who asked how many rows of what, when: JSON lines in which each one holds the hash of the one before.

A line that is changed, removed or put in between breaks the chain at its place; cutting the end off does not, so keep
the last hash elsewhere from time to time. Never holds a text. Writer and reader are in this file.
"""

import hashlib
import json
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medclf.errors import DataError, OutputError

FIRST = "0" * 64  # what the first line has instead of the hash of one before


class AuditLog:
    """A file that only grows; its methods may be called from any thread."""

    def __init__(self, path: Path) -> None:
        """Open the file, and go on where it ends.

        Args:
            path: Its path; made with mode 0600 if it is not there.

        Raises:
            OutputError: It cannot be written.
            DataError: Its last line is not one of ours.
        """
        self._path = path
        self._lock = threading.Lock()
        try:
            self._file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        except OSError as error:
            raise OutputError(f"{path} cannot be written: {error.strerror}.") from error
        last = _last_line(path)
        self._previous = _hash_in(last, path) if last else FIRST

    def append(self, entry: Mapping[str, Any]) -> None:
        """Write one line; it is with the operating system when this returns.

        Args:
            entry: What happened; `previous` and `hash` are added.

        Raises:
            OutputError: It could not be written whole; nothing of it is left.
        """
        with self._lock:
            body = {**entry, "previous": self._previous}
            line_hash = _hash(body)
            line = json.dumps({**body, "hash": line_hash}).encode() + b"\n"
            end = os.fstat(self._file).st_size
            try:
                if os.write(self._file, line) != len(line):
                    raise OSError(28, "No space left on device")
            except OSError as error:
                os.ftruncate(self._file, end)
                raise OutputError(f"{self._path} was not written: {error.strerror}.") from error
            self._previous = line_hash

    def close(self) -> None:
        """Close the file; what was written is on the disk then."""
        try:
            os.fsync(self._file)
        finally:
            os.close(self._file)


def verify_audit_log(path: Path) -> tuple[int, str]:
    """Check the chain of a file.

    Args:
        path: Its path.

    Returns:
        How many lines it has, and the hash of the last one.

    Raises:
        DataError: A line was changed, removed, or put in between; says which.
    """
    previous, number = FIRST, 0
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                entry = json.loads(line)
                line_hash = entry.pop("hash")
            except (ValueError, KeyError, AttributeError, TypeError):
                raise DataError(f"{path}, line {number}: is not a line of an audit log.") from None
            if entry.get("previous") != previous:
                raise DataError(f"{path}, line {number}: does not follow the line before; lines are missing or new.")
            if _hash(entry) != line_hash:
                raise DataError(f"{path}, line {number}: was changed after it was written.")
            previous = line_hash
    return number, previous


def _hash(entry: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(entry, sort_keys=True).encode()).hexdigest()


def _last_line(path: Path) -> bytes:
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 65_536))
        lines = file.read().splitlines()
    return lines[-1] if lines else b""


def _hash_in(line: bytes, path: Path) -> str:
    try:
        entry = json.loads(line)
        line_hash = entry.pop("hash")
        if _hash(entry) == line_hash:
            return str(line_hash)
    except (ValueError, KeyError, AttributeError, TypeError):
        pass
    raise DataError(f"{path}: its last line is not a line of an audit log, or was changed. Name another file.")
