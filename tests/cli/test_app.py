"""What every command shares: one line for an error, and the exit code that says what happened."""

import pytest
import typer

from medclf.cli.app import run
from medclf.errors import OptionError


class Saved(KeyboardInterrupt):
    """An interrupt of which the command has told."""


@pytest.mark.parametrize(
    ("raised", "code", "message"),
    [
        (OptionError("batch is 0, expected at least 1."), 1, "error: batch is 0, expected at least 1.\n"),
        (KeyboardInterrupt(), 130, "error: interrupted; nothing was half-written.\n"),
        (Saved("saved at step 3"), 130, ""),
        (SystemExit(143), 143, ""),
        (typer.BadParameter("no"), 2, "Invalid value: no"),
        (PermissionError(13, "Permission denied", "notes.csv"), 1, "error: notes.csv: Permission denied.\n"),
        (ValueError("CANARY-7f3a"), 1, "error: internal error: ValueError at test_app.py:"),
    ],
)
def test_how_a_command_ends(run_command, raised: BaseException, code: int, message: str) -> None:
    def command(option: int = 3) -> None:
        raise raised

    done = run_command(lambda: run(command), "--option", "4")
    assert done.code == code
    assert message in done.err
    assert bool(done.err) == bool(message)
    assert "CANARY" not in done.out + done.err
