"""Commands run as programs, in this process."""

import logging
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest


@dataclass(frozen=True)
class Done:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str


Command = Callable[..., Done]


@pytest.fixture
def run_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Command]:
    """Call the `main` of a command with arguments, as a shell does."""
    handler = signal.getsignal(signal.SIGTERM)
    loggers = [logging.getLogger(name) for name in ("medclf", "medclf_export")]
    before = [(logger.handlers[:], logger.level) for logger in loggers]

    def call(main: Callable[[], None], *arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", [main.__module__, *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            main()
        printed = capsys.readouterr()
        code = caught.value.code
        return Done(code if isinstance(code, int) else 0, printed.out, printed.err)

    yield call
    signal.signal(signal.SIGTERM, handler)
    for logger, (handlers, level) in zip(loggers, before, strict=True):
        logger.handlers[:] = handlers
        logger.setLevel(level)
