"""The event loop that a server process runs in."""

import asyncio
import gc
import os
import socket
from pathlib import Path

import pytest
import uvicorn

from medclf.serve.options import ServeOptions
from medclf.serve.process import serve


def test_the_server_runs_in_uvloop(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loops: list[str] = []
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "true")

    async def note(self: uvicorn.Server, sockets: list[socket.socket]) -> None:
        loops.append(type(asyncio.get_running_loop()).__module__)

    monkeypatch.setattr(uvicorn.Server, "serve", note)
    with socket.create_server(("127.0.0.1", 0)) as sock:
        serve(ServeOptions((str(tiny_bundle),)), sock)
    gc.unfreeze()  # the tests after this one are not a server
    assert loops == ["uvloop"]
    assert os.environ["TOKENIZERS_PARALLELISM"] == "false"
