"""What goes wrong while a server runs: each fault is met by one request, and the others do not notice."""

import json
import logging
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from serve.conftest import CANARY, Reply, Running, running

from medclf.labels import Floats
from medclf.serve.admission import Limits
from medclf.serve.options import ServeOptions
from medclf.serve.process import reload
from medclf.serve.state import State, Times
from medclf.serve.watchdog import Watchdog
from medclf.tokenizer import Encoded


class Gate:
    """Holds every batch until it is opened, as a model that hangs would; fails on texts of `poisoned` lengths."""

    def __init__(self, *, poisoned: Sequence[int] = (), not_finite: Sequence[int] = ()) -> None:
        self.open, self.entered = threading.Event(), threading.Event()
        self.poisoned, self.not_finite = poisoned, not_finite

    def __call__(self, state: State) -> None:
        classifier = state.service.bundles.get(None).classifier
        run = classifier.run_batch

        def run_batch(encoded: Sequence[Encoded]) -> Floats:
            self.entered.set()
            self.open.wait(30)
            if any(len(one) in self.poisoned for one in encoded):
                raise ValueError(f"a text of {CANARY}")
            logits = run(encoded)
            logits[[len(one) in self.not_finite for one in encoded]] = np.inf
            return logits

        classifier.run_batch = run_batch  # type: ignore[method-assign]


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(16) as threads:
        yield threads


def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


def ask(server: Running, texts: object, **headers: str) -> Reply:
    return server.post("/v1/predict", {"texts": texts}, **headers)


def test_a_text_that_the_model_cannot_run_fails_alone(
    tiny_bundle: Path, pool: ThreadPoolExecutor, caplog: pytest.LogCaptureFixture
) -> None:
    gate = Gate(poisoned=[7], not_finite=[8])
    with running(ServeOptions((str(tiny_bundle),), workers=1), gate) as server:
        first = pool.submit(ask, server, "baba")
        gate.entered.wait(10)  # the only caller is busy: all that comes now waits together
        good = [pool.submit(ask, server, "baba " * n) for n in (1, 2, 3, 4)]
        bad = [pool.submit(ask, server, "baba " * n) for n in (5, 6)]
        body = {"texts": ["baba", "baba " * 5, "baba baba"], "on_error": "skip"}
        mixed = pool.submit(server.post, "/v1/predict", body)
        until(lambda: server.state.service._callers.n_texts == 9)
        gate.open.set()
        assert first.result().status == 200
        assert [one.result().status for one in good] == [200] * 4
        for one in bad:
            assert (one.result().status, one.result().json["error_type"]) == (500, "Backend")
            assert one.result().json["error"] == "the model failed on texts[0]."
        assert [one["label"] is None for one in mixed.result().json["results"]] == [False, True, False]
        assert ask(server, "baba").status == 200
    assert "a batch of" in caplog.text
    assert CANARY not in caplog.text


def test_more_than_the_queue_takes_is_refused_whole_and_at_once(tiny_bundle: Path, pool: ThreadPoolExecutor) -> None:
    gate = Gate()
    options = ServeOptions((str(tiny_bundle),), limits=Limits(max_queue_tokens=100), workers=1)
    with running(options, gate) as server:
        running_now = pool.submit(ask, server, "baba")
        gate.entered.wait(10)
        waiting = [pool.submit(ask, server, ["baba baba", "baba baba baba"]) for _ in range(11)]  # 9 tokens each
        until(lambda: server.state.service._callers.n_tokens == 99)
        assert ask(server, ["baba " * 60] * 3).status == 413  # more than the queue ever takes
        began = time.monotonic()
        refused = ask(server, ["baba", "baba baba"])
        assert time.monotonic() - began < 1
        assert (refused.status, refused.json["error_type"]) == (429, "Overloaded")
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        assert ask(server, "baba").status == 429  # not read, until there is room for several
        assert server.state.service._callers.n_tokens == 99  # nothing of it was taken
        assert server.get("/health/ready").status == 200
        gate.open.set()
        assert {one.result().status for one in [running_now, *waiting]} == {200}
    text = server.state.service.metrics.text().decode()
    assert 'medclf_refused_total{reason="Overloaded"} 2.0' in text


def test_a_deadline_and_a_caller_that_goes_leave_nothing_behind(tiny_bundle: Path, pool: ThreadPoolExecutor) -> None:
    gate = Gate()
    with running(ServeOptions((str(tiny_bundle),), workers=1), gate) as server:
        first = pool.submit(ask, server, "baba")
        gate.entered.wait(10)
        late = ask(server, ["baba baba", "baba"], x_request_timeout="0.2")
        assert (late.status, late.json["error_type"]) == (504, "Deadline")
        assert server.state.service._callers.n_texts == 0
        body = json.dumps({"texts": ["baba baba", "baba"]}).encode()
        with server.connect() as gone:
            gone.sendall(b"POST /v1/predict HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
                         b"content-length: %d\r\n\r\n%s" % (len(body), body))  # fmt: skip
            until(lambda: server.state.service._callers.n_texts == 2)
        until(lambda: server.state.service._callers.n_texts == 0)
        until(lambda: server.state.service.held_bytes < 100)
        gate.open.set()
        assert first.result().status == 200
        until(lambda: server.state.service.held_bytes == 0)


def test_a_model_that_hangs_is_answered_for_and_ended(tiny_bundle: Path, pool: ThreadPoolExecutor) -> None:
    gate, ended = Gate(), threading.Event()
    with running(ServeOptions((str(tiny_bundle),), workers=1), gate) as server:
        assert server.get("/health/live").status == 200
        waiting = [pool.submit(ask, server, "baba") for _ in range(3)]
        gate.entered.wait(10)
        loop = server.state.service._loop
        assert loop is not None
        watchdog = Watchdog(server.state.service, loop, hang_s=0.4, end=ended.set)
        assert ended.wait(10)
        watchdog.close()
        for one in waiting:
            assert (one.result().status, one.result().json["error_type"]) == (503, "Unhealthy")
        assert server.get("/health/ready").status == 503
        assert ask(server, "baba").status == 503
        assert server.get("/health/live").status == 200
        assert b"medclf_ready 0.0" in server.get("/metrics").body
        gate.open.set()


def test_an_event_loop_that_hangs_ends_the_process(tiny_bundle: Path) -> None:
    ended = threading.Event()
    with running(ServeOptions((str(tiny_bundle),))) as server:
        ask(server, "baba")
        loop = server.state.service._loop
        assert loop is not None
        watchdog = Watchdog(server.state.service, loop, hang_s=0.3, end=ended.set)
        time.sleep(0.5)
        assert not ended.is_set()
        loop.call_soon_threadsafe(time.sleep, 1.0)
        assert ended.wait(5)
        watchdog.close()


def test_a_thousand_half_open_connections_hold_nobody_up(server: Running) -> None:
    head = b"POST /v1/predict HTTP/1.1\r\nhost: x\r\n"
    starts = (b"", head[:8], head, head + b"content-type: application/json\r\ncontent-length: 100\r\n\r\n{")
    sockets = [server.connect() for _ in range(1_000)]
    try:
        for i, one in enumerate(sockets):
            one.sendall(starts[i % 4])
        until(lambda: server.state.service.held_bytes == 250)
        assert ask(server, ["baba", "baba baba"]).status == 200
        assert server.get("/health/ready").status == 200
    finally:
        for one in sockets:
            one.close()
    until(lambda: server.state.service.held_bytes == 0)


def test_a_body_that_trickles_is_given_up(tiny_bundle: Path) -> None:
    options = ServeOptions((str(tiny_bundle),), times=Times(body_s=0.3))
    with running(options) as server, server.connect() as slow:
        slow.sendall(b"POST /v1/predict HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
                     b'content-length: 100\r\n\r\n{"texts')  # fmt: skip
        assert slow.recv(1_000).startswith(b"HTTP/1.1 408 ")
        assert slow.recv(1_000).find(b'"error_type": "Timeout"') >= 0 or slow.recv(1) == b""


def test_headers_without_end_are_cut_off(server: Running) -> None:
    with server.connect() as endless:
        endless.sendall(b"GET /health/live HTTP/1.1\r\n" + b"x-filler: " + b"a" * 200_000)
        assert endless.recv(1_000).startswith(b"HTTP/1.1 431 ")


def test_what_is_not_http_is_told_so(server: Running) -> None:
    with server.connect() as wrong:
        wrong.sendall(f"{CANARY} {CANARY}\r\n\r\n".encode())
        reply = wrong.recv(1_000)
    assert reply.startswith(b"HTTP/1.1 400 ")
    assert CANARY.encode() not in reply


def test_requests_that_come_before_the_answer_to_the_last(server: Running) -> None:
    one = b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n"
    with server.connect() as pipelined:
        pipelined.sendall(one * 3)
        received = b""
        while received.count(b"HTTP/1.1 200") < 3:
            received += pipelined.recv(10_000)


@pytest.mark.slow
def test_a_body_of_200_megabytes_is_refused_at_once(server: Running) -> None:
    chunk = b"a" * 1_000_000
    for head in (b"content-length: 200000000\r\n\r\n", b"transfer-encoding: chunked\r\n\r\n"):
        with server.connect() as large:
            large.sendall(b"POST /v1/predict HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n" + head)
            piece = chunk if b"length" in head else b"%x\r\n%s\r\n" % (len(chunk), chunk)
            for _ in range(200):
                large.sendall(piece)
            assert large.recv(1_000).startswith(b"HTTP/1.1 413 ")
        until(lambda: server.state.service.held_bytes == 0)


def replaced(server: Running) -> None:
    """Do what SIGHUP does."""
    import asyncio

    loop = server.state.service._loop
    assert loop is not None
    asyncio.run_coroutine_threadsafe(reload(server.state), loop).result(60)


def test_a_bundle_is_replaced_by_one_that_verifies_and_by_no_other(
    tiny_bundle: Path, tmp_path: Path, pool: ThreadPoolExecutor, caplog: pytest.LogCaptureFixture
) -> None:
    folder = Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))
    gate = Gate()
    with running(ServeOptions((f"a={folder}", f"b={tiny_bundle}")), gate) as server:
        old = server.state.service.bundles.get("a").classifier
        under_way = pool.submit(ask, server, "baba")
        gate.entered.wait(10)
        replaced(server)
        new = server.state.service.bundles.get("a").classifier
        assert new is not old
        assert ask(server, "baba").status == 200  # by the new one; the old one still has its request
        gate.open.set()
        assert under_way.result().status == 200
        until(lambda: old._runner.session._session is None)
        model = folder / "onnx" / "model_quantized.onnx"
        model.write_bytes(model.read_bytes()[:-1])
        caplog.set_level(logging.INFO)
        replaced(server)
        assert server.state.service.bundles.get("a").classifier is new
        assert ask(server, "baba").status == 200
        assert "bundle a: the new version was refused, the old one serves" in caplog.text
        shutil.rmtree(folder)
        replaced(server)
        assert ask(server, "baba").status == 200
        metrics = server.get("/metrics").body.decode()
        assert 'medclf_reloads_total{model="a",result="refused"} 2.0' in metrics
        assert 'medclf_reloads_total{model="b",result="taken"} 3.0' in metrics


def test_a_bundle_that_answers_otherwise_is_refused(
    tiny_bundle: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))
    with running(ServeOptions((str(folder),))) as server:
        ask(server, "baba")
        manifest = json.loads((folder / "medclf.json").read_bytes())
        manifest["golden"]["int8"][0][0] += 5
        (folder / "medclf.json").write_text(json.dumps(manifest))
        replaced(server)
        assert "logits differ by up to" in caplog.text
        assert ask(server, "baba").status == 200


def test_a_socket_that_is_closed_mid_body_is_forgotten(server: Running) -> None:
    with server.connect() as half:
        half.sendall(b"POST /v1/predict HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
                     b'content-length: 1000000\r\n\r\n{"texts": "' + b"baba " * 1000)  # fmt: skip
        until(lambda: server.state.service.held_bytes > 1_000)
        half.shutdown(socket.SHUT_RDWR)
    until(lambda: server.state.service.held_bytes == 0)
    assert ask(server, "baba").status == 200
