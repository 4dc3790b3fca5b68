"""Logs of a server: one line an event on stderr, and never what an exception says, as that could quote a text."""

import logging
import traceback
from pathlib import Path
from types import TracebackType

ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


class Formatter(logging.Formatter):
    """Shows of an exception its type and place."""

    def formatException(self, ei: ExcInfo) -> str:  # noqa: N802
        """Give one line instead of a trace.

        Args:
            ei: The exception, as `sys.exc_info` gives it.

        Returns:
            Such as `ValueError at service.py:12`.
        """
        kind, _, trace = ei
        frames = traceback.extract_tb(trace)
        where = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
        return f"({kind.__name__ if kind else 'error'}{where})"

    def formatStack(self, stack_info: str) -> str:  # noqa: N802
        """Give nothing."""
        return ""


def show_logs() -> None:
    """Send the logs of medclf, uvicorn and asyncio to stderr."""
    handler = logging.StreamHandler()
    handler.setFormatter(Formatter("%(asctime)s %(levelname)s %(message)s"))
    for name, level in (("medclf", logging.INFO), ("uvicorn.error", logging.WARNING), ("asyncio", logging.CRITICAL)):
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.setLevel(level)
        logger.propagate = False
