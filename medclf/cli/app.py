"""What every command shares: errors in one line, exit codes, and where talk goes.

Exit codes: 0 fine, 1 an error that the message explains, 2 wrong usage, 130 interrupted, 143 terminated.
stdout is data; everything else goes to stderr by way of `console`.
"""

import functools
import logging
import os
import signal
import sys
from collections.abc import Callable
from typing import Any, NoReturn

import typer
from rich.console import Console
from rich.logging import RichHandler

from medclf.errors import MedclfError, place_of

console = Console(stderr=True, highlight=False)


def run(command: Callable[..., Any]) -> NoReturn:
    """Run a typer command as a program.

    Args:
        command: The function; its signature is the command line, its docstring the help.

    Raises:
        SystemExit: Always, with the exit code.
    """
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(_told_of_interrupts(command))
    signal.signal(signal.SIGTERM, _terminate)
    _show_logs()
    try:
        app()
    except MedclfError as error:
        _fail(str(error), 1)
    except _Interrupted as interrupted:
        if interrupted.told:
            sys.exit(130)
        _fail("interrupted; nothing was half-written.", 130)
    except BrokenPipeError:  # the reader of stdout has gone, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        _fail(f"{error.filename or 'input/output'}: {error.strerror or type(error).__name__}.", 1)
    except Exception as error:  # a bug: say where, and never what, as the message could hold a text
        if os.environ.get("MEDCLF_TRACEBACK"):
            raise
        _fail(
            f"internal error: {place_of(error)}. "
            "Please report it. MEDCLF_TRACEBACK=1 shows the whole trace, which may hold text from your data.",
            1,
        )
    sys.exit(0)


class _Interrupted(Exception):  # noqa: N818  # no error
    """Ctrl-C, in a form that typer lets through: of a KeyboardInterrupt it makes an exit without a word."""

    def __init__(self, *, told: bool) -> None:
        """Say whether the command told its user already."""
        super().__init__()
        self.told = told


def _told_of_interrupts(command: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(command)
    def called(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except KeyboardInterrupt as interrupt:
            raise _Interrupted(told=bool(str(interrupt))) from interrupt

    return called


def _show_logs() -> None:
    handler = RichHandler(console=console, show_time=False, show_level=False, show_path=False, highlighter=None)
    for name in ("medclf", "medclf_export"):
        logger = logging.getLogger(name)
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)


def _terminate(_signal: int, _frame: object) -> NoReturn:
    sys.exit(143)  # an exception, so that temporary files are removed on the way out


def _fail(message: str, code: int) -> NoReturn:
    console.print(f"[bold red]error:[/] {_plain(message)}", soft_wrap=True)
    sys.exit(code)


def _plain(message: str) -> str:
    return message.replace("[", r"\[")
