"""The tables of a run: a file, a folder or a pattern, on any file system; told apart by name, size and time."""

import fnmatch
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from medclf.cluster.ray.storage import Storage, locate, reason, shown
from medclf.data.formats import formats_text, table_format
from medclf.data.readers import SHOWN
from medclf.errors import DataError
from medclf.extras import require

WILD = "*["  # of a pattern; `?` begins the options of a URI


@dataclass(frozen=True)
class InputFile:
    """A table of the input.

    Attributes:
        name: Relative to the folder that all of them share; the column `file` of the output.
        size_bytes: Its length.
        time_ns: When it was last changed, as its file system says.
    """

    name: str
    size_bytes: int
    time_ns: int

    def __str__(self) -> str:
        return self.name


def root_of(source: str) -> tuple[str, str]:
    """Divide an address.

    Args:
        source: A path or a URI, which may have a pattern.

    Returns:
        The folder or file that has no pattern, and the pattern below it, or an empty string.
    """
    where, mark, options = source.partition("?") if "://" in source else (source, "", "")
    parts = where.split("/")
    first = next((i for i, part in enumerate(parts) if any(sign in part for sign in WILD)), None)
    if first is None or Path(where).exists():
        return source, ""
    return ("/".join(parts[:first]) or ("/" if where.startswith("/") else ".")) + mark + options, "/".join(
        parts[first:]
    )


def list_inputs(source: str, named: str) -> tuple[Storage, list[InputFile]]:
    """Find the tables.

    Args:
        source: A path or a URI of a table, a folder or a pattern.
        named: The format of all of them; empty for that of their suffixes.

    Returns:
        The folder that they share, and the tables, by name.

    Raises:
        DataError: There is none, they differ in format, or a file is no table.
    """
    base, pattern = root_of(source)
    place = locate(base)
    systems = require("pyarrow.fs", extra="ray")
    try:
        at = place.system.get_file_info(place.path)
        if at.is_file:
            parent = str(PurePosixPath(place.path).parent)
            return Storage(place.system, parent), _checked([_file(at, at.base_name)], named, source)
        if at.type == systems.FileType.NotFound:
            raise DataError(f"{shown(source)} does not exist. Check the path{_relative(source)}.")
        found = place.system.get_file_info(systems.FileSelector(place.path, recursive=True))
    except (OSError, require("pyarrow", extra="ray").ArrowException) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{place.path} cannot be listed: {reason(error)}") from error
    names = {
        info.path[len(place.path) :].lstrip("/"): info for info in found if info.type != systems.FileType.Directory
    }
    files = [_file(info, name) for name, info in sorted(names.items()) if _wanted(name, pattern)]
    if not files:
        what = "no file fits the pattern" if pattern else "the folder holds no table"
        raise DataError(
            f"{shown(source)}: {what}; {len(names):,} other files are there. Check the path{_relative(source)}."
        )
    return place, _checked(files, named, source)


def would_read(source: str, output: Storage) -> bool:
    """Tell whether the parts of an output would be tables of its input.

    Args:
        source: The input.
        output: The output.

    Returns:
        Whether they would.
    """
    base, pattern = root_of(source)
    place = locate(base)
    part = output.at("part-0.parquet")
    inside = place.system.type_name == output.system.type_name and part.startswith(f"{place.path}/")
    return inside and _wanted(part[len(place.path) + 1 :], pattern)


def _wanted(name: str, pattern: str) -> bool:
    parts = PurePosixPath(name).parts
    if any(part.startswith((".", "_")) for part in parts):  # _SUCCESS, _metadata and the like: not data by custom
        return False
    wanted = pattern.split("/") if pattern else []
    return not wanted or (len(parts) == len(wanted) and all(map(fnmatch.fnmatchcase, parts, wanted)))


def _file(info: object, name: str) -> InputFile:
    return InputFile(name, int(info.size or 0), int(info.mtime_ns or 0))  # type: ignore[attr-defined]


def _checked(files: list[InputFile], named: str, source: str) -> list[InputFile]:
    forms = {file.name: table_format(Path(file.name), named) for file in files}
    if unknown := [name for name, form in forms.items() if form is None]:
        raise DataError(
            f"{shown(source)}: {_names(unknown)} no table: {formats_text()} are read. Choose tables with a pattern, "
            "such as 'notes/*.parquet', or name their format, as in --input-format csv."
        )
    kinds = sorted({form.name for form in forms.values() if form})
    if len(kinds) > 1:
        raise DataError(
            f"{shown(source)} holds {' and '.join(kinds)}. Choose one format with a pattern, such as '*.parquet'."
        )
    return files


def _names(names: list[str]) -> str:
    shown = ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
    return f"{shown} is" if len(names) == 1 else f"{len(names):,} files ({shown}) are"


def _relative(source: str) -> str:
    return "" if "://" in source else f"; it is relative to {Path.cwd()}"


def changes(before: Iterable[InputFile], now: Iterable[InputFile]) -> tuple[list[str], list[str]]:
    """Compare two listings of one input.

    Args:
        before: When the run began.
        now: When it is resumed.

    Returns:
        Names of the files that came or went, and of those that have another size or time.
    """
    old, new = ({file.name: file for file in files} for files in (before, now))
    return sorted(old.keys() ^ new.keys()), sorted(name for name in old.keys() & new.keys() if old[name] != new[name])
