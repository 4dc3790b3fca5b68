"""Folders on this machine, on a shared one, or in an object store, by way of pyarrow's file systems."""

import contextlib
import functools
import os
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO

from medclf.atomic import atomic_file
from medclf.errors import DataError, OptionError, OutputError
from medclf.extras import require

OBJECT_STORES = ("s3", "gcs", "abfs")  # there an object appears whole, when its last byte was sent


@dataclass(frozen=True)
class Storage:
    """A folder, or a file, and the file system on which it lies.

    Attributes:
        system: A file system of pyarrow.
        path: As that file system names it.
    """

    system: Any
    path: str

    @property
    def local(self) -> Path | None:
        """The path on this machine; None elsewhere."""
        return Path(self.path) if self.system.type_name == "local" else None

    def at(self, name: str) -> str:
        """Give the path of a file, for messages too: it holds no credentials.

        Args:
            name: Relative to the folder.

        Returns:
            As the file system names it.
        """
        return f"{self.path}/{name}" if name else self.path

    def sizes(self, folder: str = "") -> dict[str, int]:
        """List the files of a folder.

        Args:
            folder: Relative to this one.

        Returns:
            Name -> bytes; empty where there is no such folder.

        Raises:
            OutputError: The folder cannot be listed.
        """
        selector = require("pyarrow.fs", extra="ray").FileSelector(self.at(folder), allow_not_found=True)
        with self._told(folder, "listed"):
            found = self.system.get_file_info(selector)
        return {info.base_name: info.size for info in found if info.is_file}

    def read(self, name: str) -> bytes:
        """Read a whole file.

        Args:
            name: Relative to the folder.

        Returns:
            Its bytes.

        Raises:
            OutputError: It cannot be read.
        """
        with self._told(name, "read"), self.system.open_input_stream(self.at(name)) as file:
            return bytes(file.read())

    def open(self, name: str) -> BinaryIO:
        """Open a table for reading from anywhere.

        Args:
            name: Relative to the folder.

        Returns:
            The file.

        Raises:
            DataError: It cannot be opened.
        """
        try:
            file: BinaryIO = self.system.open_input_file(self.at(name))
        except (OSError, require("pyarrow", extra="ray").ArrowException) as error:
            raise DataError(f"{self.at(name)} cannot be read: {reason(error)}") from error
        return file

    def write(self, name: str, data: bytes) -> None:
        """Write a whole file, or none.

        Args:
            name: Relative to the folder.
            data: Its bytes.

        Raises:
            OutputError: It cannot be written.
        """
        with self._output(name) as file:
            file.write(data)

    def put(self, name: str, source: Path) -> None:
        """Copy a whole file here, or none.

        Args:
            name: Relative to the folder.
            source: A file of this machine.

        Raises:
            OutputError: It cannot be written.
        """
        with self._output(name) as file, source.open("rb") as data:
            shutil.copyfileobj(data, file, 2**20)

    def remove(self, name: str) -> None:
        """Remove a file.

        Args:
            name: Relative to the folder.

        Raises:
            OutputError: It cannot be removed.
        """
        with self._told(name, "removed"):
            self.system.delete_file(self.at(name))

    def remove_folder(self, name: str) -> None:
        """Remove a folder and all in it.

        Args:
            name: Relative to this one.

        Raises:
            OutputError: It cannot be removed.
        """
        with self._told(name, "removed"):
            self.system.delete_dir(self.at(name))

    @contextlib.contextmanager
    def _output(self, name: str) -> Iterator[IO[bytes]]:
        path = self.at(name)
        with self._told(name, "written"):
            if self.local is not None:
                with atomic_file(Path(path), overwrite=True) as partial, partial.open("wb") as written:
                    yield written
                    written.flush()
                    os.fsync(written.fileno())
            elif self.system.type_name in OBJECT_STORES:
                with self.system.open_output_stream(path) as file:
                    yield file
            else:
                folder, _, own = path.rpartition("/")
                self.system.create_dir(folder, recursive=True)
                unfinished = f"{folder}/.{own}.{uuid.uuid4().hex[:8]}.partial"
                with self.system.open_output_stream(unfinished) as file:
                    yield file
                self.system.move(unfinished, path)

    @contextlib.contextmanager
    def _told(self, name: str, done: str) -> Iterator[None]:
        try:
            yield
        except OutputError:
            raise
        except (OSError, require("pyarrow", extra="ray").ArrowException) as error:
            raise OutputError(f"{self.at(name)} cannot be {done}: {reason(error)}") from error


@functools.lru_cache(maxsize=16)
def locate(address: str) -> Storage:
    """Find the file system of an address.

    Args:
        address: A path, or a URI such as `s3://bucket/folder`.

    Returns:
        The place, which need not exist.

    Raises:
        OptionError: pyarrow knows no such file system.
        ExtraError: pyarrow is not installed.
    """
    systems = require("pyarrow.fs", extra="ray")
    if "://" not in address:
        return Storage(systems.LocalFileSystem(), str(Path(address).absolute()))
    try:
        system, path = systems.FileSystem.from_uri(address)
    except (OSError, require("pyarrow", extra="ray").ArrowException) as error:
        why = reason(error).replace(address, shown(address))
        raise OptionError(f"{shown(address)}: {why}") from error
    return Storage(system, path.rstrip("/"))


def shown(address: str) -> str:
    """Give an address as it may be printed: without keys, passwords and options.

    Args:
        address: A path, or a URI.

    Returns:
        The same for a path.
    """
    scheme, mark, rest = address.partition("://")
    return scheme + mark + rest.partition("?")[0].rpartition("@")[2] if mark else address


def reason(error: Exception) -> str:
    """Give what a file system says: names and codes, as it has not seen what is in the file.

    Args:
        error: What it raised.

    Returns:
        A sentence.
    """
    text = getattr(error, "strerror", None) or str(error).partition(". Detail")[0] or type(error).__name__
    return f"{text.rstrip('.')}."
