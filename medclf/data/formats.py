"""The format of a table, as its name says it: `notes.csv.gz` is CSV, compressed by gzip."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

FORMATS = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}
COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}
SUFFIXES = tuple(FORMATS)


@dataclass(frozen=True)
class TableFormat:
    """How the bytes of a table are laid out.

    Attributes:
        name: `csv`, `tsv`, `jsonl` or `parquet`.
        compression: `gzip`, `zstd`, or empty; Parquet compresses its own pages.
        suffix: What the name of such a file ends in.
    """

    name: str
    compression: str = ""
    suffix: str = ""


def table_format(path: Path, named: str = "") -> TableFormat | None:
    """Find the format of a table.

    Args:
        path: A file; its suffixes count unless the format is named.
        named: The format in words, such as `csv` or `jsonl.zst`; empty for that of the suffixes.

    Returns:
        The format, or None where there is none of that name.
    """
    suffixes = [suffix.lower() for suffix in Path(f"table.{named}" if named else path).suffixes]
    return _read(suffixes[-2:]) or _read(suffixes[-1:])


def formats_text() -> str:
    """Name every format in a message."""
    return f"{', '.join(SUFFIXES)}; all but .parquet may end in {' or '.join(COMPRESSIONS)} too"


def _read(suffixes: Sequence[str]) -> TableFormat | None:
    name, compression = FORMATS.get(suffixes[0]) if suffixes else None, ""
    if len(suffixes) == 2:
        compression = COMPRESSIONS.get(suffixes[1], "")
        if not compression or name == "parquet":
            return None
    return TableFormat(name, compression, "".join(suffixes)) if name else None


def is_stream(path: Path) -> bool:
    """Tell whether a path can be read or written once only: `-`, a pipe, a device.

    Args:
        path: A path, which need not exist.

    Returns:
        Whether it is no file and no folder, nor will be one.
    """
    return str(path) == "-" or (path.exists() and not path.is_file() and not path.is_dir())
