"""Bytes in and out: files, stdin, gzip and zstd; a damaged stream is an error that says so.

gzip is the standard library's; zstd is too from Python 3.14 on, and `backports.zstd` (`medclf[files]`) before.
"""

import codecs
import contextlib
import gzip
import io
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, BinaryIO

from medclf.errors import DataError, OptionError
from medclf.extras import require

UNDECODABLE = "\udcff"  # stands for bytes that could not be decoded; no decoder gives it for good bytes
_ZSTD = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"

codecs.register_error("medclf.mark", lambda error: (UNDECODABLE, error.end))  # type: ignore[attr-defined]


class TextSource:
    """A decoded stream that knows how far it was read; bytes that do not decode become `UNDECODABLE`."""

    def __init__(self, path: Path, *, compression: str, encoding: str, file: BinaryIO | None = None) -> None:
        """Open a stream.

        Args:
            path: A file or a pipe, or `-` for stdin.
            compression: `gzip`, `zstd` or empty.
            encoding: Character encoding; a byte order mark of UTF-8 is skipped.
            file: What is at `path`, where it is open already; it is closed with the stream.

        Raises:
            OptionError: The encoding is not known.
            ExtraError: The stream is zstd, and its package is not installed.
        """
        self._bytes = _Bytes(path, compression, file)
        try:
            name = codecs.lookup(encoding).name
            name = "utf-8-sig" if name == "utf-8" else name
            self.text = io.TextIOWrapper(io.BufferedReader(self._bytes), name, errors="medclf.mark", newline="")
        except LookupError as error:
            self._bytes.close()
            raise OptionError(f"encoding {encoding!r} is not known. Such as utf-8, latin-1, cp1252, utf-16.") from error

    @property
    def fraction_read(self) -> float | None:
        """How much was read, 0 to 1; None for a stream whose end is not known."""
        return self._bytes.fraction_read

    def close(self) -> None:
        """Close the stream; stdin stays open."""
        self.text.close()


class _Bytes(io.RawIOBase):
    """What a compressed file holds. Faults are told here, so that they pass through all that reads from it."""

    def __init__(self, path: Path, compression: str, file: BinaryIO | None) -> None:
        self._path = path
        self._compression = compression
        self._size = path.stat().st_size if file is None and path.is_file() else None
        self._file: BinaryIO = file or (sys.stdin.buffer if str(path) == "-" else path.open("rb"))
        self._faults: tuple[type[Exception], ...] = (EOFError, OSError, zlib.error)
        self._unpacked: Any = self._file
        if compression == "gzip":
            self._unpacked = gzip.GzipFile(fileobj=self._file)
        elif compression == "zstd":
            zstd = require(_ZSTD, extra="files")
            self._unpacked = zstd.ZstdFile(self._file)
            self._faults += (zstd.ZstdError,)

    @property
    def fraction_read(self) -> float | None:
        return None if self._size is None else self._file.tell() / max(1, self._size)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data: bytes = self._unpacked.read1(len(buffer))
        except self._faults as error:
            if not self._compression:
                raise
            raise DataError(
                f"{self._path}: the {self._compression} stream is cut off or damaged. Copy or compress the file again."
            ) from error
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed and self._file is not sys.stdin.buffer:
            self._file.close()
        super().close()


@contextlib.contextmanager
def compressed(file: IO[bytes], compression: str) -> Iterator[Any]:
    """Compress what is written; equal bytes give equal bytes, as neither time nor name is recorded.

    Args:
        file: Where it goes; it stays open.
        compression: `gzip`, `zstd` or empty.

    Yields:
        The file to write to.

    Raises:
        ExtraError: zstd is wanted, and its package is not installed.
    """
    if not compression:
        yield file
    elif compression == "gzip":
        with gzip.GzipFile(filename="", mode="wb", fileobj=file, compresslevel=6, mtime=0) as packed:
            yield packed
    else:
        with require(_ZSTD, extra="files").ZstdFile(file, "wb") as packed:
            yield packed
