"""medclf-serve as a program: its options, and what ends it before it serves."""

from pathlib import Path

import pytest
from cli.conftest import Command

from medclf.cli.serve import main
from medclf.errors import OptionError
from medclf.serve.audit_log import AuditLog
from medclf.serve.keys import Keys
from medclf.serve.options import ServeOptions
from medclf.serve.process import open_state


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["--workers", "many"], "--workers is 'many', expected auto"),
        (["--workers", "0"], "--workers is '0'"),
        (["--max-texts", "0"], "max_texts is 0, expected at least 1"),
        (["--request-timeout", "0"], "request_s is 0.0, expected more than 0"),
        (["--tls-cert", "cert.pem"], "--tls-cert and --tls-key belong together"),
        (["--cors-origin", "*"], "would let every web page ask"),
        (["--new-api-key", "ward"], "name the file that its hash goes into"),
        (["--host", "192.0.2.1"], "cannot listen there"),
    ],
)
def test_options_that_cannot_be_meant(run_command: Command, arguments: list[str], what: str) -> None:
    done = run_command(main, *arguments)
    assert done.code == 1
    assert what in " ".join(done.err.split())
    assert done.out == ""


@pytest.mark.parametrize(("arguments", "expected"), [([], False), (["--provider", "cuda", "--cuda-graphs"], True)])
def test_cuda_graphs_are_asked_for(
    run_command: Command, monkeypatch: pytest.MonkeyPatch, arguments: list[str], expected: bool
) -> None:
    asked: list[ServeOptions] = []
    monkeypatch.setattr("medclf.cli.serve._serve", lambda options, *_: asked.append(options))
    assert run_command(main, *arguments).code == 0
    assert [one.cuda_graphs for one in asked] == [expected]


def test_a_server_passes_them_on(tiny_traced_bundle: Path) -> None:
    options = ServeOptions((str(tiny_traced_bundle),), cuda_graphs=True)
    with pytest.raises(OptionError, match="cuda_graphs needs provider 'cuda', got 'auto'"):
        open_state(options)


def test_a_key_goes_to_stdout_alone(run_command: Command, tmp_path: Path) -> None:
    done = run_command(main, "--new-api-key", "ward", "--api-key-file", tmp_path / "keys")
    assert done.code == 0
    key = done.out.strip()
    assert key not in done.err
    assert Keys.read(tmp_path / "keys").name(f"Bearer {key}", None) == "ward"


def test_an_audit_log_is_checked(run_command: Command, tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    AuditLog(path).append({"row": 1})
    assert "1 lines, an unbroken chain" in run_command(main, "--verify-audit-log", path).err
    path.write_bytes(path.read_bytes().replace(b'"row": 1', b'"row": 2'))
    done = run_command(main, "--verify-audit-log", path)
    assert (done.code, "line 1: was changed" in done.err) == (1, True)
