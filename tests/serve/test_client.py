"""The client against a real server, and against servers that refuse, are full, or are none."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from serve.conftest import CANARY, Running

from medclf import client as module
from medclf.client import Client
from medclf.errors import OptionError, RequestError

Reply = tuple[int, dict[str, str], bytes]


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[list[Reply]], tuple[str, list[float]]]]:
    """A server that gives the replies it is told to; waits are noted and not waited."""
    waits: list[float] = []
    monkeypatch.setattr(module.time, "sleep", waits.append)
    servers: list[ThreadingHTTPServer] = []

    def start(replies: list[Reply]) -> tuple[str, list[float]]:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                status, headers, body = replies.pop(0)
                self.send_response(status)
                for name, value in {"content-length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}", waits

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


FULL = (429, {"retry-after": "2"}, b'{"error": "full", "error_type": "Overloaded"}')
GOOD = (200, {}, json.dumps({"results": [{"label": "a"}]}).encode())


def test_a_real_server(server: Running, texts: list[str]) -> None:
    client = Client(f"http://127.0.0.1:{server.port}/", max_texts=50)
    answers = client.predict(texts)
    whole = server.post("/v1/predict", {"texts": texts}).json["results"]
    assert [one["label"] for one in answers] == [one["label"] for one in whole]
    assert client.predict([]) == []
    assert len(client.predict(["baba"], ["cece"], top_k=1)[0]["probabilities"]) == 1
    assert client.predict(["baba", ""], on_error="skip")[1]["error"] == "is empty"
    assert client.info()["default"] == "default"
    assert client.ready()
    with pytest.raises(RequestError, match=r"422: 1 of 2 texts cannot be classified: texts\[1\] is empty") as error:
        client.predict([CANARY, ""])
    assert (error.value.status, CANARY in str(error.value)) == (422, False)


def test_a_server_that_is_full_is_asked_again_when_it_says(scripted: Callable[..., tuple[str, list[float]]]) -> None:
    url, waits = scripted([FULL, (503, {}, b"not ours"), GOOD])
    assert Client(url).predict(["x"]) == [{"label": "a"}]
    assert 2.0 <= waits[0] <= 3.0
    assert 0.2 <= waits[1] <= 0.3


def test_it_gives_up(scripted: Callable[..., tuple[str, list[float]]]) -> None:
    url, waits = scripted([FULL] * 3)
    with pytest.raises(RequestError, match="429: full") as error:
        Client(url, n_tries=3).predict(["x"])
    assert (error.value.retry_after_s, len(waits)) == (2.0, 2)


def test_a_refusal_is_not_repeated(scripted: Callable[..., tuple[str, list[float]]]) -> None:
    url, waits = scripted([(404, {}, b"<html>")])
    with pytest.raises(RequestError, match="it is not medclf-serve that answers"):
        Client(url).predict(["x"])
    assert waits == []


def test_nobody_there(scripted: Callable[..., tuple[str, list[float]]]) -> None:
    client = Client("http://127.0.0.1:9", n_tries=2)
    with pytest.raises(RequestError, match="did not answer"):
        client.predict(["x"])
    assert not client.ready()


def test_options_that_cannot_be_meant() -> None:
    with pytest.raises(OptionError, match="begins with http"):
        Client("file:///etc/passwd")
    with pytest.raises(OptionError, match="at least 1"):
        Client("http://x", n_tries=0)
    with pytest.raises(OptionError, match="expected a list"):
        Client("http://x").predict("one text")
    with pytest.raises(OptionError, match="as many pairs"):
        Client("http://x").predict(["one"], [])
