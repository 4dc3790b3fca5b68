"""The whole program: supervisor and server process, signals, deaths, TLS."""

import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from serve.conftest import CANARY

from medclf.runtime import Classifier

pytestmark = pytest.mark.slow

# Read by every Python that finds it: the first server process hangs on a text of 9 tokens, the next ones do not.
HANG = """
import os, time
if os.environ.get("MEDCLF_SERVE_RESTARTS") == "0":
    from medclf.runtime import Classifier
    run = Classifier.run_batch
    def hang(self, encoded):
        if len(encoded[0]) == 9:
            time.sleep(1000)
        return run(self, encoded)
    Classifier.run_batch = hang
"""


@dataclass
class Program:
    process: subprocess.Popen[str]
    log: list[str] = field(default_factory=list)
    port: int = 0
    tls: ssl.SSLContext | None = None

    def ask(self, method: str, path: str, body: object = None, timeout: float = 30) -> tuple[int, bytes]:
        connection = (
            http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
            if self.tls is None
            else http.client.HTTPSConnection("127.0.0.1", self.port, timeout=timeout, context=self.tls)
        )
        with contextlib.closing(connection):
            content = None if body is None else json.dumps(body)
            connection.request(method, path, content, {"content-type": "application/json"})
            reply = connection.getresponse()
            return reply.status, reply.read()

    def predict(self, texts: list[str]) -> list[str] | int:
        status, body = self.ask("POST", "/v1/predict", {"texts": texts})
        return [one["label"] for one in json.loads(body)["results"]] if status == 200 else status

    def child(self) -> int:
        return int(re.findall(r"process (\d+)", self.text())[-1])

    def text(self) -> str:
        return "".join(self.log)

    def logged(self, what: str, n: int = 1, seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while self.text().count(what) < n:
            assert time.monotonic() < end, self.text()
            time.sleep(0.02)


@contextlib.contextmanager
def program(*arguments: object, path: Path | None = None) -> Iterator[Program]:
    command = [sys.executable, "-m", "medclf.cli.serve", "--port", "0", *map(str, arguments)]
    environment = os.environ if path is None else {**os.environ, "PYTHONPATH": str(path)}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    one = Program(process)

    def read() -> None:
        assert process.stderr is not None
        with process.stderr:
            one.log.extend(process.stderr)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        one.logged("listening on port")
        one.port = int(re.findall(r"listening on port (\d+)", one.text())[0])
        yield one
    finally:
        process.terminate()
        process.wait(60)
        reader.join()
        assert CANARY not in one.text()


def test_sigterm_answers_all_that_was_accepted(tiny_bundle: Path, texts: list[str]) -> None:
    with Classifier.load(tiny_bundle) as classifier:
        expected = classifier.predict(texts)
    answers: list[object] = []
    with program("--bundle", tiny_bundle, "--max-queue-tokens", "1000000") as server:  # room for all of them at once
        server.logged("serving default (int8, cpu)")

        def ask(row: int) -> None:
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
            with contextlib.closing(connection):
                connection.connect()
                connected.release()
                start.wait()
                connection.request("POST", "/v1/predict", json.dumps({"texts": [texts[row], *texts[:100]]}),
                                   {"content-type": "application/json"})  # fmt: skip
                sent.release()
                reply = connection.getresponse()
                body = json.loads(reply.read())
                answers.append((row, reply.status, body["results"][0]["label"] if reply.status == 200 else body))

        connected, start, sent = threading.Semaphore(0), threading.Event(), threading.Semaphore(0)
        threads = [threading.Thread(target=ask, args=(row,)) for row in range(40)]
        for thread in threads:
            thread.start()
        for _ in threads:
            assert connected.acquire(timeout=10)
        server.ask("GET", "/health/ready")  # whoever connected before is accepted by now
        start.set()
        for _ in threads:
            assert sent.acquire(timeout=10)
        server.ask("GET", "/health/live")  # its answer comes after a turn of the event loop that read what was sent
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(30) == 0
        for thread in threads:
            thread.join()
    assert sorted(answers) == [(row, 200, expected[row]) for row in range(40)]


def test_a_process_that_is_killed_starts_again_and_answers_nothing_wrongly(tiny_bundle: Path, texts: list[str]) -> None:
    with Classifier.load(tiny_bundle) as classifier:
        expected = classifier.predict(texts[:20])
    with program("--bundle", tiny_bundle) as server:
        server.logged("serving default")
        outcomes: list[object] = []
        stop = threading.Event()

        def ask_on() -> None:
            while not stop.is_set():
                try:
                    outcomes.append(server.predict(texts[:20]))
                except (OSError, http.client.HTTPException):
                    outcomes.append("no answer")

        threads = [threading.Thread(target=ask_on) for _ in range(4)]
        for thread in threads:
            thread.start()
        for n in (2, 3):
            time.sleep(0.5)
            os.kill(server.child(), signal.SIGKILL)
            server.logged("serving default", n)
        time.sleep(0.5)
        stop.set()
        for thread in threads:
            thread.join()
        assert outcomes.count(expected) > 10
        assert all(one in (expected, "no answer") for one in outcomes)
        assert outcomes[-1] == expected
        assert b"medclf_restarts 2.0" in server.ask("GET", "/metrics")[1]
        assert "ended with code -9" in server.text()


def test_a_hang_is_ended_by_the_watchdog_and_the_next_process_answers(tiny_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(HANG)
    with program("--bundle", tiny_bundle, "--hang-timeout", "1", path=tmp_path) as server:
        server.logged("serving default")
        assert server.predict(["baba " * 7]) == 503
        server.logged("a batch runs since")
        server.logged("ended with code 75")
        assert len(server.predict(["baba " * 7])) == 1  # type: ignore[arg-type]


def test_sighup_replaces_a_bundle_and_refuses_a_corrupt_one(tiny_bundle: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))
    with program("--bundle", folder) as server:
        server.logged("serving default")
        server.process.send_signal(signal.SIGHUP)
        server.logged("bundle default was replaced")
        (folder / "tokenizer.json").write_text("{}")
        server.process.send_signal(signal.SIGHUP)
        server.logged("bundle default: the new version was refused, the old one serves")
        assert server.predict(["baba"]) == server.predict(["baba"])
        assert server.process.poll() is None


def test_a_supervisor_that_is_killed_takes_the_server_along(tiny_bundle: Path) -> None:
    with program("--bundle", tiny_bundle) as server:
        server.logged("serving default")
        child = server.child()
        server.process.kill()
        server.process.wait(10)
        end = time.monotonic() + 20
        while _alive(child):
            assert time.monotonic() < end
            time.sleep(0.05)


def _alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_bundle_that_cannot_be_opened_ends_the_program(tmp_path: Path) -> None:
    with program("--bundle", tmp_path / "nothing") as server:
        assert server.process.wait(60) == 1
    assert "Traceback" not in server.text()
    assert "error:" in server.text()


def test_tls(tiny_bundle: Path, tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert],
        check=True, capture_output=True,
    )  # fmt: skip
    with program("--bundle", tiny_bundle, "--tls-cert", cert, "--tls-key", key) as server:
        server.logged("serving default")
        server.tls = ssl.create_default_context(cafile=str(cert))
        assert len(server.predict([CANARY])) == 1  # type: ignore[arg-type]
        server.tls.maximum_version = ssl.TLSVersion.TLSv1_2
        assert server.ask("GET", "/health/live")[0] == 200
        server.tls = None
        with pytest.raises((OSError, http.client.HTTPException)):
            server.ask("GET", "/health/live")
    with program("--bundle", tiny_bundle, "--tls-cert", key, "--tls-key", key) as server:
        assert server.process.wait(60) == 1
    assert "--tls-cert, --tls-key: cannot be used" in server.text()


def test_no_log_shows_a_query_or_a_text(tiny_bundle: Path, tmp_path: Path) -> None:
    log = tmp_path / "audit.jsonl"
    with program("--bundle", tiny_bundle, "--access-log", "--audit-log", log) as server:
        server.logged("serving default")
        requests: list[Callable[[], object]] = [
            lambda: server.predict([CANARY]),
            lambda: server.ask("POST", "/v1/predict", {"texts": [CANARY, ""]}),
            lambda: server.ask("POST", f"/v1/predict?text={CANARY}", {CANARY: 1}),
            lambda: server.ask("GET", f"/{CANARY}?text={CANARY}"),
            lambda: server.ask("POST", "/predict", CANARY),
        ]
        for request in requests:
            request()
        assert CANARY.encode() not in server.ask("GET", "/metrics")[1]
        server.logged("POST /v1/predict 422", 2)
        server.logged("GET - 404")
    assert CANARY not in log.read_text()
