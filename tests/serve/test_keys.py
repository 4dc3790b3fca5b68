"""API keys: files, headers, and a server that wants one."""

import base64
import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from serve.conftest import Running, running

from medclf.errors import OptionError, RequestError
from medclf.serve.keys import Keys, add_key
from medclf.serve.options import ServeOptions


def test_a_new_key_is_known_by_its_hash_alone(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    first, second = add_key(path, "ward-3"), add_key(path, "dr.who")
    assert first not in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    assert Keys.read(path).name(f"Bearer {first}", None) == "ward-3"
    assert Keys.read(path).name(None, second) == "dr.who"
    with pytest.raises(OptionError, match=r"has a key called ward-3 already"):
        add_key(path, "ward-3")
    with pytest.raises(OptionError, match="letters, digits"):
        add_key(path, "ward 3\n")


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("", "holds no key"),
        ("# only talk\n\n", "holds no key"),
        ("ward secret-in-plain\n", "line 1: expected a name and the SHA-256"),
        (f"a {'0' * 64}\na {'1' * 64}\n", "line 2: the name a stands there twice"),
        (f"a {'0' * 63}\n", "line 1: expected"),
        ("\xff\xfe", "line 1: expected"),
    ],
)
def test_a_file_that_cannot_be_used(tmp_path: Path, content: str, what: str) -> None:
    path = tmp_path / "keys"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(OptionError, match=what) as error:
        Keys.read(path)
    assert "secret" not in str(error.value)


def basic(password: str) -> str:
    return "Basic " + base64.b64encode(f"anybody:{password}".encode()).decode()


@pytest.mark.parametrize(
    ("authorization", "x_api_key"),
    [
        (None, None),
        ("Bearer wrong", None),
        ("Bearer", None),
        ("bearer ", "wrong"),
        (basic("wrong"), None),
        ("Basic %%%", None),
        ("Basic " + base64.b64encode(b"\xff:\xff").decode(), None),
        ("Digest right", None),
        ("Bearer ö", None),
    ],
)
def test_no_key_or_a_wrong_one(authorization: str | None, x_api_key: str | None) -> None:
    keys = Keys({"a": hashlib.sha256(b"right").digest()})
    with pytest.raises(RequestError, match="an API key is needed") as error:
        keys.name(authorization, x_api_key)
    assert error.value.status == 401


@pytest.mark.parametrize("authorization", ["Bearer right", "bearer right", basic("right")])
def test_a_right_key(authorization: str) -> None:
    keys = Keys({"b": hashlib.sha256(b"other").digest(), "a": hashlib.sha256(b"right").digest()})
    assert keys.name(authorization, None) == "a"


@pytest.fixture(scope="module")
def locked(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, str]]:
    path = tmp_path_factory.mktemp("keys") / "keys"
    key = add_key(path, "ward-3")
    with running(ServeOptions((str(tiny_bundle),), api_key_file=path)) as server:
        yield server, key


def test_everything_but_liveness_needs_a_key(locked: tuple[Running, str]) -> None:
    server, key = locked
    paths = ["/", "/page.js", "/v1/info", "/info", "/health", "/health/ready", "/metrics", "/openapi.json", "/nowhere"]
    for path in paths:
        refused = server.get(path)
        assert (path, refused.status) == (path, 401)
        assert refused.headers["www-authenticate"].startswith("Bearer")
        assert server.get(path, authorization=f"Bearer {key}").status in (200, 404)
    assert server.get("/health/live").status == 200
    for path, body in (("/v1/predict", {"texts": "baba"}), ("/predict", {"inputs": "baba"})):
        assert server.post(path, body).status == 401
        assert server.post(path, body, authorization=basic(key)).status == 200
