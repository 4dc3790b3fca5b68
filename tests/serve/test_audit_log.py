"""The audit log: what it holds, its chain, and a disk that is full."""

import errno
import json
import os
from pathlib import Path

import pytest
from serve.conftest import CANARY, running

from medclf.errors import DataError, OutputError
from medclf.serve import audit_log
from medclf.serve.audit_log import AuditLog, verify_audit_log
from medclf.serve.keys import add_key
from medclf.serve.options import ServeOptions


def written(path: Path, n: int = 3) -> Path:
    log = AuditLog(path)
    for i in range(n):
        log.append({"row": i})
    log.close()
    return path


def test_the_chain_goes_on_after_a_restart(tmp_path: Path) -> None:
    path = written(written(tmp_path / "audit.jsonl"))
    n_lines, last = verify_audit_log(path)
    assert n_lines == 6
    assert last == json.loads(path.read_bytes().splitlines()[-1])["hash"]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda lines: [lines[0], lines[1].replace(b'"row": 1', b'"row": 7'), lines[2]], "line 2: was changed"),
        (lambda lines: [lines[0], lines[2]], "line 2: does not follow"),
        (lambda lines: lines[1:], "line 1: does not follow"),
        (lambda lines: [lines[0], lines[0], *lines[1:]], "line 2: does not follow"),
        (lambda lines: [lines[0], b"[]", lines[2]], "line 2: is not a line"),
        (lambda lines: [lines[0], lines[1][:20], lines[2]], "line 2: is not a line"),
    ],
)
def test_what_was_done_to_a_log_is_found(tmp_path: Path, change: object, what: str) -> None:
    path = written(tmp_path / "audit.jsonl")
    path.write_bytes(b"\n".join(change(path.read_bytes().splitlines())) + b"\n")  # type: ignore[operator]
    with pytest.raises(DataError, match=what):
        verify_audit_log(path)


def test_a_file_of_another_kind_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not ours\n")
    with pytest.raises(DataError, match="its last line is not"):
        AuditLog(path)
    assert path.read_text() == "not ours\n"
    with pytest.raises(OutputError, match="cannot be written"):
        AuditLog(tmp_path / "nowhere" / "audit.jsonl")


def test_who_asked_how_many_rows_and_never_what(tiny_bundle: Path, tmp_path: Path) -> None:
    keys, path = tmp_path / "keys", tmp_path / "audit.jsonl"
    key = add_key(keys, "ward-3")
    options = ServeOptions((f"small={tiny_bundle}",), api_key_file=keys, audit_log=path)
    with running(options) as server:
        server.headers = {"authorization": f"Bearer {key}"}
        server.post("/v1/predict", {"texts": [CANARY, CANARY]}, x_request_id="one")
        server.post("/v1/predict", {"texts": [CANARY, ""]}, x_request_id="two")
        server.post("/v1/predict", {"texts": CANARY}, authorization="Bearer wrong")
        server.get(f"/v1/info?text={CANARY}")
    assert verify_audit_log(path)[0] == 2  # who has no key cannot fill the disk
    one, two = (json.loads(line) for line in path.read_bytes().splitlines())
    assert (one["key"], one["model"], one["status"], one["n_texts"]) == ("ward-3", "small", 200, 2)
    assert one["n_tokens"] > 4
    assert (two["request_id"], two["status"]) == ("two", 422)
    assert CANARY not in path.read_text()


def test_a_full_disk_answers_nothing_and_tears_no_line(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, full = tmp_path / "audit.jsonl", [False]
    write = os.write

    def part(file: int, content: bytes) -> int:
        if not full[0] or b"request_id" not in content:
            return write(file, content)
        write(file, content[:10])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(audit_log.os, "write", part)
    with running(ServeOptions((str(tiny_bundle),), audit_log=path)) as server:
        assert server.post("/v1/predict", {"texts": "baba"}).status == 200
        full[0] = True
        refused = server.post("/v1/predict", {"texts": "baba"})
        assert (refused.status, refused.json["error_type"]) == (503, "Unhealthy")
        assert "results" not in refused.json
        assert server.get("/health/ready").status == 503
        full[0] = False
        assert server.post("/v1/predict", {"texts": "baba"}).status == 200
        assert server.get("/health/ready").status == 200
    assert verify_audit_log(path)[0] == 2
