"""The work folder of a file that is being written, `<output>.work` beside it: what a stopped run goes on from.

    labels.csv.work/
        run.json        what the run is: its input, bundle and options; a resume is held against it
        000000.rows     the rows of the first commit, as a layout encodes them
        000000.json     renamed into place after its rows: this is the commit
        joined.0        a whole file; it gets its own name when all of them are there, which joined.json says

A run can be killed at any moment: a commit is there or is not, and the next run begins after the last one. Partitions
of an input can be committed by several processes in the same way: a part needs no other part.
"""

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from medclf.atomic import atomic_file, check_output
from medclf.errors import OutputError
from medclf.runtime.counts import Counts
from medclf.runtime.rows import Quarantined

try:
    import fcntl
except ImportError:  # Windows: two runs of one output are not told apart
    fcntl = None  # type: ignore[assignment]

RUN, JOINED, LOCK = "run.json", "joined.json", "lock"

Write = Callable[[Path], None]  # writes a whole file at a path


def work_folder(output: Path) -> Path:
    """Give the work folder of an output."""
    return output.with_name(f"{output.name}.work")


@dataclass(frozen=True)
class Commit:
    """Some consecutive rows that were answered.

    Attributes:
        counts: Of these rows.
        quarantined: Those that were left out.
    """

    counts: Counts
    quarantined: tuple[Quarantined, ...] = ()

    def to_json(self) -> str:
        """Give the contents of its record."""
        return json.dumps(asdict(self))

    @classmethod
    def read(cls, path: Path) -> "Commit":
        """Read a record.

        Args:
            path: A file of `to_json`.

        Returns:
            The commit.

        Raises:
            OutputError: The record is damaged.
        """
        try:
            record = json.loads(path.read_bytes())
            rows = tuple((int(row), str(column), str(why), size) for row, column, why, size in record["quarantined"])
            return cls(Counts(**record["counts"]), rows)
        except (ValueError, KeyError, TypeError) as error:
            raise OutputError(f"{path} is damaged. Begin again with --overwrite.") from error


def check_target(target: Path, *, resume: bool, overwrite: bool) -> None:
    """Refuse an output early: before a model is loaded.

    Args:
        target: The file that will be written.
        resume: Whether a stopped run is to go on.
        overwrite: Whether an existing file, or a stopped run, may be dropped.

    Raises:
        OutputError: It exists or cannot be written, or a stopped run is in the way.
    """
    work = work_folder(target)
    if target.is_dir():
        raise OutputError(f"{target} is a folder, a file was expected. Name another output.")
    if not (resume and (work / JOINED).exists()):  # else it may be this run's own, killed before it cleaned up
        check_output(target, overwrite=overwrite)
    if _has_commits(work) and not resume and not overwrite:
        raise OutputError(
            f"{work} holds a run that was stopped. Go on with --resume, or drop it and begin again with --overwrite."
        )


class WorkFolder:
    """A work folder that this process alone writes to."""

    def __init__(self, folder: Path, run: Mapping[str, Any] | None) -> None:
        """Take a folder over; `open_work` does.

        Args:
            folder: The folder.
            run: What the run is; None for one that cannot be resumed.
        """
        self.path = folder
        self.resumable = run is not None
        self.counts = Counts()
        self.n_commits = 0
        if self.joined:
            self.counts = Commit.read(folder / JOINED).counts
            return
        while (folder / _record(self.n_commits)).exists():
            self.counts += self.read(self.n_commits).counts
            self.n_commits += 1
        if not self.n_commits and run is not None:
            self._write(RUN, json.dumps(run, indent=2, ensure_ascii=False).encode())

    @property
    def parts(self) -> list[Path]:
        """The rows of each commit, in order."""
        return [self.path / _rows(index) for index in range(self.n_commits)]

    @property
    def joined(self) -> bool:
        """Whether all rows were committed and joined before."""
        return (self.path / JOINED).exists()

    def read(self, index: int) -> Commit:
        """Read what was committed.

        Args:
            index: Which commit, from 0.

        Returns:
            Its record.
        """
        return Commit.read(self.path / _record(index))

    def commit(self, rows: bytes, commit: Commit) -> None:
        """Add rows that a kill cannot lose any more.

        Args:
            rows: As a layout encodes them.
            commit: Their record.

        Raises:
            OutputError: The disk is full.
        """
        self._write(_rows(self.n_commits), rows)
        self._write(_record(self.n_commits), commit.to_json().encode())
        self.n_commits += 1
        self.counts += commit.counts

    def finish(self, files: Mapping[Path, Write], *, overwrite: bool) -> None:
        """Give the whole files their names, and remove the folder.

        Args:
            files: Target -> what writes it; the last one is there only if all are.
            overwrite: Whether existing ones are replaced.

        Raises:
            OutputError: A target exists, or the disk is full; the commits stay.
        """
        whole = {target: self.path / f"joined.{index}" for index, target in enumerate(files)}
        if not self.joined:
            for target, write in files.items():
                with atomic_file(whole[target], overwrite=True) as partial:
                    write(partial)
            self._write(JOINED, Commit(self.counts).to_json().encode())
        for target, file in whole.items():
            if file.exists():  # else it was renamed before a kill
                check_output(target, overwrite=overwrite)
                file.replace(target)
        for path in set(self.path.iterdir()) - {self.path / JOINED, self.path / RUN}:
            path.unlink()
        (self.path / JOINED).unlink()  # last, as it is what says that the output is this run's
        shutil.rmtree(self.path)

    def _write(self, name: str, data: bytes) -> None:
        with atomic_file(self.path / name, overwrite=True) as partial, partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())


@contextlib.contextmanager
def open_work(target: Path, run: Mapping[str, Any] | None, *, resume: bool) -> Iterator[WorkFolder]:
    """Begin to write a file, or go on; `check_target` was asked before.

    Args:
        target: The file that will be written.
        run: What the run is: its input, bundle and options; None for one that cannot be resumed.
        resume: Whether the commits of a stopped run count.

    Yields:
        The work folder. If the block ends in an error, it stays where it holds commits, and the error says so.

    Raises:
        OutputError: The stopped run had another input, bundle or options, or another process writes this file.
    """
    folder = work_folder(target)
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        if resume and _has_commits(folder):
            _check_run(folder, run)
        else:
            for path in set(folder.iterdir()) - {folder / LOCK}:
                path.unlink()
        work = WorkFolder(folder, run)
        try:
            yield work
        except BaseException as error:
            if work.resumable and _has_commits(folder):
                _add_note(error, f"{work.counts.n_rows:,} rows are committed in {folder}: go on with --resume.")
            else:
                shutil.rmtree(folder, ignore_errors=True)
            raise


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes of this machine out of a folder.

    Args:
        folder: The folder.

    Yields:
        None, while it is this process's.

    Raises:
        OutputError: It is another's.
    """
    with (folder / LOCK).open("wb") as file:
        try:
            if fcntl:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # let go by the kernel, however the process ends
        except BlockingIOError as error:
            raise OutputError(f"{folder} is in use: another process writes this output. Name another one.") from error
        except OSError:
            pass  # a file system without locks
        yield


def _check_run(folder: Path, run: Mapping[str, Any] | None) -> None:
    try:
        changes = differences(json.loads((folder / RUN).read_bytes()), run or {})
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise OutputError(f"{folder / RUN} is missing or damaged. Begin again with --overwrite.") from error
    if changes:
        raise OutputError(
            f"{folder} cannot be resumed, as the run has changed: {'; '.join(changes)}. "
            "Run the same command with --resume, or begin again with --overwrite."
        )


def differences(before: Mapping[str, Any], run: Mapping[str, Any]) -> list[str]:
    """Compare two runs.

    Args:
        before: The run that was stopped, as it was read from JSON.
        run: The one that is to go on.

    Returns:
        What has changed, in words.
    """
    now = json.loads(json.dumps(run))
    return [
        f"{name} was {before.get(name)!r}, is {now.get(name)!r}"
        for name in sorted({*now, *before})
        if before.get(name) != now.get(name)
    ]


def _add_note(error: BaseException, note: str) -> None:
    error.__dict__.setdefault("__notes__", []).append(note)  # BaseException.add_note of Python 3.11


def _has_commits(folder: Path) -> bool:
    return (folder / _record(0)).exists() or (folder / JOINED).exists()


def _record(index: int) -> str:
    return f"{index:06d}.json"


def _rows(index: int) -> str:
    return f"{index:06d}.rows"
