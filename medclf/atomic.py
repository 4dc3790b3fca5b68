"""Files and folders that are written whole or not at all."""

import contextlib
import errno
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

from medclf.errors import OutputError


def check_output(target: Path, *, overwrite: bool = False) -> None:
    """Refuse an output early, before hours of work are spent on it.

    Args:
        target: The file or folder that will be written.
        overwrite: Whether an existing one may be replaced.

    Raises:
        OutputError: It exists and may not be replaced, or its parent is not a folder that can be written.
    """
    if target.exists() and not overwrite:
        raise OutputError(f"{target} exists already. Remove it, name another output, or pass --overwrite.")
    parent = target.absolute().parent
    existing = next(p for p in (parent, *parent.parents) if p.exists())
    if not existing.is_dir():
        raise OutputError(f"{target} cannot be written: {existing} is a file, a folder was expected.")
    if not os.access(existing, os.W_OK):
        raise OutputError(f"{target} cannot be written: no permission to write into {existing}.")


@contextlib.contextmanager
def atomic_folder(target: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Give a temporary folder that becomes `target` when the block ends without an error.

    Args:
        target: The folder to write; its parents are made.
        overwrite: Whether an existing one is replaced.

    Yields:
        The temporary folder, beside `target` so that the final rename is atomic.

    Raises:
        OutputError: The target exists, cannot be written, or the disk is full; nothing is left behind.
    """
    check_output(target, overwrite=overwrite)
    with _partial(target) as partial:
        partial.mkdir()
        yield partial
        _replace(partial, target)


@contextlib.contextmanager
def atomic_file(target: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Give a temporary path that becomes the file `target` when the block ends without an error.

    Args:
        target: The file to write; its parents are made.
        overwrite: Whether an existing one is replaced.

    Yields:
        The temporary path, beside `target` so that the final rename is atomic.

    Raises:
        OutputError: The target exists, cannot be written, or the disk is full; nothing is left behind.
    """
    check_output(target, overwrite=overwrite)
    with _partial(target) as partial:
        yield partial
        _replace(partial, target)


@contextlib.contextmanager
def _partial(target: Path) -> Iterator[Path]:
    partial = target.absolute().parent / f".{target.name}.{uuid.uuid4().hex[:8]}.partial"
    try:
        partial.parent.mkdir(parents=True, exist_ok=True)
        yield partial
    except OSError as error:
        if isinstance(error, OutputError) or error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES):
            raise
        raise OutputError(f"{target} was not written: {error.strerror}. Nothing was left behind.") from error
    finally:
        _remove(partial)


def _replace(partial: Path, target: Path) -> None:
    if target.is_dir():  # a folder cannot be renamed over a full one: the old one steps aside first
        aside = partial.with_suffix(".old")
        target.rename(aside)
        partial.rename(target)
        _remove(aside)
    else:
        partial.replace(target)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
