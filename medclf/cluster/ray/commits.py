"""The output: a folder of Parquet, and what a stopped run goes on from.

    labels/
        part-00000-00000.parquet    the rows of a partition: of table 0, the first
        _quarantine.csv             rows that were left out
        _manifest.json              what was run, every part with its hash; it is there when all parts are
        _work/run.json              until then: what the run is; a resume is held against it
        _work/plan.json             the tables and their partitions
        _work/part-...json          written by the driver after the part: this is the commit
        _work/part-...quarantine    rows that were left out of it
        _work/part-...ids           hashes of the ids of its rows

A part is written by whichever worker has its partition, whole or not at all. Two workers with one partition, after one
was given up, write the same bytes under the same name. Names with `_` are passed over by what reads folders of Parquet.
"""

import contextlib
import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from medclf.cluster.ray.ids import Ids
from medclf.cluster.ray.inputs import InputFile, changes
from medclf.cluster.ray.plan import Plan, Planned, read_plan
from medclf.cluster.ray.storage import Storage
from medclf.cluster.ray.survey import Partition
from medclf.cluster.ray.worker import Done, part_file, work_file
from medclf.data.readers import SHOWN
from medclf.errors import OutputError
from medclf.runtime.counts import Counts
from medclf.runtime.rows import quarantine_lines
from medclf.runtime.work import differences, locked

MANIFEST, QUARANTINE, WORK = "_manifest.json", "_quarantine.csv", "_work"
READERS = 16  # records that are read at a time: an object store takes its time for each


class OutputFolder:
    """The output of one run, that this driver alone writes to."""

    def __init__(self, storage: Storage) -> None:
        """Take a folder over; `open_output` does.

        Args:
            storage: The folder.
        """
        self.storage = storage
        self.committed: dict[str, Done] = {}  # name of the partition -> what was done
        self.counts = Counts()
        self.plan: Plan | None = None
        self.begun = False  # whether what is here is this run's

    def read_plan(self) -> None:
        """Go on from what a stopped run committed: records whose parts are there, as long as they were."""
        self.plan = read_plan(self._json("plan.json"))
        records, parts = self.storage.sizes(WORK), self.storage.sizes()
        begun = [one for one in self.plan.partitions if f"{one.name}.json" in records and part_file(one) in parts]
        with ThreadPoolExecutor(READERS) as threads:
            for partition, done in zip(begun, threads.map(self._record, begun), strict=True):
                if done.size_bytes == parts[part_file(partition)]:
                    self._add(partition, done)

    def run(self) -> dict[str, Any]:
        """Read what the stopped run is.

        Returns:
            Words -> values of JSON.
        """
        return dict(self._json("run.json"))

    def check_run(self, run: Mapping[str, Any]) -> None:
        """Refuse to go on with another run.

        Args:
            run: What is known of this one.

        Raises:
            OutputError: The bundle, an option or a version has changed.
        """
        before = self.run()
        if changed := differences({word: before.get(word) for word in run}, run):
            raise OutputError(
                f"{self.storage.path} cannot be resumed, as the run has changed: {'; '.join(changed)}. "
                "Run the same command with --resume, or begin again with --overwrite."
            )

    def check_inputs(self, files: Iterable[InputFile]) -> None:
        """Refuse to go on where parts would be of tables that are no longer there; drop the plan of the others.

        Args:
            files: The tables as they are now.

        Raises:
            OutputError: A table came or went, or one that has parts was changed.
        """
        plan = self.plan or Plan([], {})
        moved, changed = changes((table.file for table in plan.tables), files)
        if moved:
            raise OutputError(
                f"{self.storage.path} cannot be resumed, as tables came or went: {', '.join(moved[:SHOWN])}. Give the "
                "input back as it was, or begin again with --overwrite."
            )
        with_parts = {one.file for one in plan.partitions if one.name in self.committed}
        if begun := [name for name in changed if name in with_parts]:
            raise OutputError(
                f"{self.storage.path} cannot be resumed, as tables that have parts have changed: "
                f"{', '.join(begun[:SHOWN])}. Give them back as they were, or remove their parts, which are then made "
                "again, or begin again with --overwrite."
            )
        now = {file.name: file for file in files}
        self.plan = Plan(
            [Planned(now[t.file.name], None if t.file.name in changed else t.survey) for t in plan.tables], plan.types
        )

    def begin(self, run: Mapping[str, Any]) -> None:
        """Drop what was here before, now that there is something to put in its place, and say what the run is.

        Args:
            run: Words -> values of JSON.
        """
        self.begun = True
        _clear(self.storage)
        self.storage.write(f"{WORK}/run.json", _dump(run))

    def write_plan(self, plan: Plan) -> None:
        """Say what will be done.

        Args:
            plan: The tables and their partitions.
        """
        self.plan = plan
        self.storage.write(f"{WORK}/plan.json", _dump(asdict(plan)))

    def commit(self, partition: Partition, done: Done) -> None:
        """Add a part that is in its place.

        Args:
            partition: Its rows.
            done: What a worker says of it.
        """
        record = {"counts": asdict(done.counts), "size_bytes": done.size_bytes, "sha256": done.sha256}
        self.storage.write(work_file(partition, "json"), _dump(record))
        self._add(partition, done)

    def ids(self, partition: Partition) -> Ids:
        """Read the hashes of the ids of a partition.

        Args:
            partition: One that is committed.

        Returns:
            uint64 [rows].
        """
        return np.frombuffer(self.storage.read(work_file(partition, "ids")), dtype=np.uint64)

    def finish(self, run: Mapping[str, Any]) -> None:
        """Write the manifest, and remove what only a resume needs.

        Args:
            run: What the run was.
        """
        plan = self.plan or Plan([], {})
        parts = {part_file(partition): partition for partition in plan.partitions}
        for name in self.storage.sizes():
            # of a table that was changed before anything of it was committed, or of a worker that was killed
            if (_is_part(name) and name not in parts) or _is_partial(name):
                self.storage.remove(name)
        if self.counts.n_quarantined:
            self._join_quarantine(plan.partitions)
        entries = [
            {
                "name": name,
                "file": partition.file,
                "first_row": partition.first_row,
                "n_rows": self.committed[partition.name].counts.n_rows,
                "size_bytes": self.committed[partition.name].size_bytes,
                "sha256": self.committed[partition.name].sha256,
            }
            for name, partition in parts.items()
        ]
        files = [asdict(table.file) for table in plan.tables]
        document = {"run": run, "counts": asdict(self.counts), "files": files, "parts": entries}
        self.storage.write(MANIFEST, _dump(document))
        self.storage.remove(f"{WORK}/run.json")  # first: a kill in between must leave no run that goes on with less
        self.storage.remove_folder(WORK)

    def _join_quarantine(self, partitions: Iterable[Partition]) -> None:
        with tempfile.TemporaryDirectory(prefix="medclf-") as folder:
            whole = Path(folder, QUARANTINE)
            with whole.open("wb") as file:
                file.write(b"file," + quarantine_lines((), header=True).encode())
                for partition in partitions:
                    if self.committed[partition.name].counts.n_quarantined:
                        file.write(self.storage.read(work_file(partition, "quarantine")))
            self.storage.put(QUARANTINE, whole)

    def _add(self, partition: Partition, done: Done) -> None:
        self.committed[partition.name] = Done(done.counts, done.size_bytes, done.sha256)
        self.counts += done.counts

    def _record(self, partition: Partition) -> Done:
        record = self._json(f"{partition.name}.json")
        try:
            return Done(Counts(**record["counts"]), int(record["size_bytes"]), str(record["sha256"]))
        except (KeyError, TypeError, ValueError) as error:
            raise self._damaged(f"{partition.name}.json") from error

    def _json(self, name: str) -> Any:
        try:
            return json.loads(self.storage.read(f"{WORK}/{name}"))
        except ValueError as error:
            raise self._damaged(name) from error

    def _damaged(self, name: str) -> OutputError:
        return OutputError(f"{self.storage.at(WORK)}/{name} is damaged. Begin again with --overwrite.")


@contextlib.contextmanager
def open_output(storage: Storage, *, resume: bool, overwrite: bool) -> Iterator[tuple[OutputFolder, bool]]:
    """Begin an output, or go on.

    Args:
        storage: Its folder.
        resume: Whether the parts of a stopped run count.
        overwrite: Whether a run that is there may be dropped.

    Yields:
        The output, and whether it is that of a stopped run. If the block ends in an error, what is committed stays, and
        the error says so.

    Raises:
        OutputError: The folder holds something else, or a run that is not to be dropped or gone on with.
    """
    names, work = storage.sizes(), storage.sizes(WORK)
    ours = list(filter(_is_ours, names))
    if foreign := sorted(set(names) - set(ours)):
        raise OutputError(
            f"{storage.path} holds {len(foreign):,} files that medclf-predict did not write, such as {foreign[0]}. "
            "Name a new or an empty folder."
        )
    stopped = "run.json" in work
    if stopped and not resume and not overwrite:
        raise OutputError(
            f"{storage.path} holds a run that was stopped. Go on with --resume, or drop it and begin again with "
            "--overwrite."
        )
    if ours and not stopped and not overwrite:
        raise OutputError(f"{storage.path} exists already. Remove it, name another output, or pass --overwrite.")
    goes_on = stopped and resume
    made = storage.local is not None and not storage.local.exists()
    with _locked(storage):
        output = OutputFolder(storage)
        if goes_on:
            output.begun = True
            if "plan.json" in work:
                output.read_plan()
        try:
            yield output, goes_on
        except BaseException as error:
            if not output.committed:
                _leave_nothing(output, folder=made, work=not work)
            elif output.plan:
                done, every = len(output.committed), len(output.plan.partitions)
                note = f"{done:,} of {every:,} parts are committed in {storage.path}: go on with --resume."
                error.__dict__.setdefault("__notes__", []).append(note)  # BaseException.add_note of Python 3.11
            raise


def _leave_nothing(output: OutputFolder, *, folder: bool, work: bool) -> None:
    """Remove what a run made that committed nothing: the folder, or its work, or what is in both."""
    if output.begun:
        _clear(output.storage)
    if output.storage.local and (folder or work):
        shutil.rmtree(output.storage.local if folder else output.storage.local / WORK)


def _clear(storage: Storage) -> None:
    for name in storage.sizes():
        if _is_ours(name):
            storage.remove(name)
    for name in set(storage.sizes(WORK)) - {"lock"}:
        storage.remove(f"{WORK}/{name}")


@contextlib.contextmanager
def _locked(storage: Storage) -> Iterator[None]:
    if storage.local is None:  # an object store has no locks
        yield
        return
    folder = storage.local / WORK
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        yield


def _is_ours(name: str) -> bool:
    return _is_part(name) or _is_partial(name) or name in (MANIFEST, QUARANTINE)


def _is_partial(name: str) -> bool:
    """Tell what a worker left behind that was killed while it wrote."""
    return name.startswith((".part-", f".{MANIFEST}", f".{QUARANTINE}")) and name.endswith(".partial")


def _is_part(name: str) -> bool:
    return name.startswith("part-") and name.endswith(".parquet")


def _dump(document: Any) -> bytes:
    return (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode()
