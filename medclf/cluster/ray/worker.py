"""What one worker does, in a process of its own: it surveys tables and classifies partitions.

Nothing is raised here: Ray writes the words of an exception, and the arguments of the call, into its logs and to the
driver's terminal. What went wrong is told in an `Outcome`, in words that hold no text.
"""

import contextlib
import functools
import importlib.metadata
import platform
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

import medclf
from medclf.bundle import FileRecord, read_manifest
from medclf.cluster.ray.ids import Ids, ids_of, repeated
from medclf.cluster.ray.inputs import InputFile
from medclf.cluster.ray.options import RayOptions
from medclf.cluster.ray.storage import Storage
from medclf.cluster.ray.survey import Partition, Survey, Wanted, survey
from medclf.data.formats import TableFormat
from medclf.data.tables import Table
from medclf.errors import BundleError, DataError, InputError, MedclfError, place_of
from medclf.extras import require
from medclf.runtime.classifier import Classifier
from medclf.runtime.counts import Counts
from medclf.runtime.job import Job, manifest_sha256
from medclf.runtime.parquet_layout import ParquetLayout
from medclf.runtime.rows import quarantine_lines

PARQUET = TableFormat("parquet", suffix=".parquet")
COMPARED = ("onnxruntime", "tokenizers", "numpy", "pyarrow")  # what decides the bytes of a part


@dataclass(frozen=True)
class Setting:
    """What every worker is told once.

    Attributes:
        options: Of the run.
        inputs: The folder of the tables.
        output: The folder of the parts.
        bundle_sha256: Hash of the manifest that the driver read.
        threads: Cores to keep busy.
    """

    options: RayOptions
    inputs: Storage
    output: Storage
    bundle_sha256: str
    threads: int = 1


@dataclass(frozen=True)
class Outcome:
    """What came of a call.

    Attributes:
        node: Name of the machine.
        value: What it gives; None where it failed.
        fault: Why it failed; empty where it did not.
        of_input: Whether the fault is the input's: other partitions may do better.
    """

    node: str
    value: Any = None
    fault: str = ""
    of_input: bool = False


@dataclass(frozen=True)
class Opened:
    """A worker that is ready.

    Attributes:
        versions: Of what it runs.
        precision: The model that it took.
        provider: Where it runs it.
    """

    versions: dict[str, str]
    precision: str
    provider: str


@dataclass(frozen=True)
class Done:
    """A partition whose part is in its place.

    Attributes:
        counts: Of its rows.
        size_bytes: Of the part.
        sha256: Of the part.
        ids: Hash of the id of each row; None where none were asked for.
    """

    counts: Counts
    size_bytes: int
    sha256: str
    ids: Ids | None = None


def versions() -> dict[str, str]:
    """Give the versions that must be the same on all machines."""
    found = {"medclf": medclf.__version__, "python": ".".join(platform.python_version_tuple()[:2])}
    for name in COMPARED:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "missing"
    return found


def part_file(partition: Partition) -> str:
    """Name the part of a partition."""
    return f"{partition.name}.parquet"


def work_file(partition: Partition, suffix: str) -> str:
    """Name what else belongs to a partition until the run ends."""
    return f"_work/{partition.name}.{suffix}"


def _told(method: Callable[..., Any]) -> Callable[..., Outcome]:
    """Make an `Outcome` of what a method returns or raises."""

    @functools.wraps(method)
    def called(*arguments: Any) -> Outcome:
        node = socket.gethostname()
        try:
            return Outcome(node, method(*arguments))
        except MedclfError as error:
            return Outcome(node, fault=str(error), of_input=isinstance(error, (DataError, InputError)))
        except (
            Exception
        ) as error:  # a bug, or a lack of memory: the place and never the words, which could quote a text
            return Outcome(node, fault=f"internal error: {place_of(error)}. Please report it.")

    return called


class Worker:
    """One process with one model; its methods may run in two threads at a time."""

    def __init__(self) -> None:
        self._setting: Setting | None = None
        self._classifier: Classifier | None = None

    @_told
    def open(self, setting: Setting, bundle: Mapping[str, bytes]) -> Opened:
        """Load the model.

        Args:
            setting: Of the run.
            bundle: Name -> bytes of the files of the bundle; empty to open the path of the options.

        Returns:
            What was loaded.
        """
        options = setting.options
        with _folder_of(bundle, options.bundle) as folder:
            if manifest_sha256(read_manifest(folder)) != setting.bundle_sha256:
                raise BundleError(
                    f"the bundle at {options.bundle} is another one. Copy it again, or pass --ship-bundle."
                )
            classifier = Classifier.load(
                folder,
                provider=options.provider,
                precision=options.precision,
                mode=options.mode,
                threads=setting.threads,
            )
        self._setting, self._classifier = setting, classifier
        return Opened(versions(), classifier.precision, classifier.provider)

    @_told
    def survey(self, file: InputFile, prefix: str, wanted: Wanted) -> Survey:
        """Look at a table.

        Args:
            file: The table.
            prefix: With which the names of its parts begin.
            wanted: What is needed of it.

        Returns:
            Its partitions.
        """
        setting, _ = self._ready()
        return survey(setting.inputs, file.name, file.size_bytes, prefix, wanted)

    @_told
    def classify(self, partition: Partition, types: tuple[tuple[str, str], ...]) -> Done:
        """Classify a partition and write its part.

        Args:
            partition: Its rows.
            types: Kept column without a type of its own -> its type in Arrow, in every part.

        Returns:
            What was done.
        """
        setting, classifier = self._ready()
        options, path = setting.options, Path(setting.inputs.at(partition.file))
        only = partition.open(setting.inputs)
        with Table(path, encoding=options.encoding, named=options.source_format, only=only) as table:
            job = Job(classifier, options, table, PARQUET, first=("file",))
            return _write(job, partition, options, setting.output, dict(types))

    def _ready(self) -> tuple[Setting, Classifier]:
        if self._setting is None or self._classifier is None:
            raise MedclfError("the worker was asked before it was open.")
        return self._setting, self._classifier


def _write(job: Job, partition: Partition, options: RayOptions, output: Storage, types: Mapping[str, str]) -> Done:
    layout = cast("ParquetLayout", job.layout)
    counts, left_out, ids = Counts(), list[tuple[object, ...]](), list[Ids]()
    with tempfile.TemporaryDirectory(prefix="medclf-") as folder:
        windows: list[Path] = []
        begun = time.perf_counter()
        for window in job.answers():
            windows.append(Path(folder, f"{len(windows):06d}"))
            windows[-1].write_bytes(layout.encode([{"file": partition.file, **row} for row in window.rows]))
            now = time.perf_counter()
            counts += Counts.of(window.predictions, n_quarantined=len(window.left_out), seconds=now - begun)
            begun = now
            left_out += [(partition.file, *row) for row in window.left_out]
            if options.id_column:
                ids.append(ids_of([line.row for line in window.lines], options.id_column))
        if partition.n_rows not in (None, counts.n_rows):
            raise DataError(f"{counts.n_rows:,} rows were read, {partition.n_rows:,} expected: the table has changed.")
        hashes = _distinct(np.concatenate(ids), partition, options.id_column) if ids else None
        whole = Path(folder, "whole")
        arrow = require("pyarrow", extra="ray")
        layout.join(windows, whole, common={name: arrow.type_for_alias(alias) for name, alias in types.items()})
        record = FileRecord.of_file(whole)
        if left_out:
            output.write(work_file(partition, "quarantine"), quarantine_lines(left_out).encode())
        if hashes is not None:
            output.write(work_file(partition, "ids"), hashes.tobytes())
        output.put(part_file(partition), whole)
        return Done(counts, record.size_bytes, record.sha256, hashes)


def _distinct(ids: Ids, partition: Partition, column: str) -> Ids:
    pair = repeated(ids)
    if pair:
        rows = " and ".join(f"{partition.first_row + i:,}" for i in pair)
        raise DataError(f"rows {rows} of {partition.file} have the same {column!r}. Each row needs its own.")
    return ids


@contextlib.contextmanager
def _folder_of(bundle: Mapping[str, bytes], path: str) -> Iterator[Path]:
    """Give the folder of the bundle; one that was shipped is needed only until the model is loaded from its bytes."""
    if not bundle:
        if not Path(path).is_dir():
            raise BundleError(
                f"there is no bundle at {path}. Put it on storage that all machines share, or pass --ship-bundle."
            )
        yield Path(path)
        return
    with tempfile.TemporaryDirectory(prefix="medclf-bundle-") as folder:
        for name, data in bundle.items():
            file = Path(folder, name)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
        yield Path(folder)
