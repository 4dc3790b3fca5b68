"""A real server in a thread of this process, on the tiny bundle; and plain HTTP to it."""

import http.client
import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from medclf.serve.options import ServeOptions
from medclf.serve.process import open_state, uvicorn_config
from medclf.serve.state import State

CANARY = "CANARY-7f3a"


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Running:
    """A server, and its parts."""

    port: int
    state: State
    headers: dict[str, str] = field(default_factory=dict)

    def ask(self, method: str, path: str, body: object = None, **headers: str) -> Reply:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
            given = {"content-type": "application/json", **self.headers} if body is not None else dict(self.headers)
            given |= {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, content, given)
            reply = connection.getresponse()
            return Reply(reply.status, {k.lower(): v for k, v in reply.getheaders()}, reply.read())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Reply:
        return self.ask("GET", path, **headers)

    def post(self, path: str, body: object, **headers: str) -> Reply:
        return self.ask("POST", path, body, **headers)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)


@contextmanager
def running(options: ServeOptions, change: Callable[[State], None] = lambda state: None) -> Iterator[Running]:
    """Serve in a thread; `change` may alter the parts before the first request."""
    state = open_state(options)
    change(state)
    sock = socket.create_server(("127.0.0.1", 0), backlog=2048)
    server = uvicorn.Server(uvicorn_config(options, state))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]})
    thread.start()
    try:
        yield Running(sock.getsockname()[1], state)
    finally:
        server.should_exit = True
        thread.join()
        state.service.close()


@pytest.fixture(scope="session")
def server(tiny_bundle: Path) -> Iterator[Running]:
    """A server that needs no key; tests must not change it."""
    with running(ServeOptions((str(tiny_bundle),))) as one:
        yield one
