"""Where `medclf-predict` puts its rows: a file, by way of commits that a kill cannot undo, or a pipe, as they come."""

import contextlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, cast

from medclf.atomic import atomic_file
from medclf.data.formats import is_stream
from medclf.runtime.counts import Counts
from medclf.runtime.layouts import Layout, TextLayout
from medclf.runtime.predict_options import PredictOptions
from medclf.runtime.rows import quarantine_lines
from medclf.runtime.work import Commit, WorkFolder, open_work

RowValues = Mapping[str, object]


class FileOutput:
    """A file that is there when the last row is."""

    def __init__(self, options: PredictOptions, layout: Layout, work: WorkFolder) -> None:
        """Go on after the rows that are committed.

        Args:
            options: Of the run.
            layout: How rows become bytes.
            work: The work folder of the target.
        """
        self._options = options
        self._layout = layout
        self._work = work

    @property
    def counts(self) -> Counts:
        """What is committed, also by runs before this one."""
        return self._work.counts

    @property
    def complete(self) -> bool:
        """Whether every row was committed by a run before this one."""
        return self._work.joined

    def commit(self, rows: Sequence[RowValues], commit: Commit) -> None:
        """Add a window.

        Args:
            rows: What is written.
            commit: Its counts, and the rows that are left out.
        """
        self._work.commit(self._layout.encode(rows), commit)

    def finish(self) -> None:
        """Make the files of the commits."""
        options = self._options
        files = {options.target: lambda path: self._layout.join(self._work.parts, path)}
        if options.quarantine_file:
            files = {options.quarantine_file: self._write_quarantine, **files}
        self._work.finish(files, overwrite=options.overwrite)

    def _write_quarantine(self, path: Path) -> None:
        with path.open("w", encoding="utf-8", newline="") as file:
            file.write(quarantine_lines((), header=True))
            for index in range(self._work.n_commits):
                file.write(quarantine_lines(self._work.read(index).quarantined))


class StreamOutput:
    """A pipe, or a device: rows are there as soon as they are answered."""

    complete = False

    def __init__(self, layout: TextLayout, file: IO[bytes], quarantine: IO[str] | None) -> None:
        """Write the header.

        Args:
            layout: How rows become bytes.
            file: The pipe.
            quarantine: Where rows that are left out are named.
        """
        self.counts = Counts()
        self._layout = layout
        self._file = file
        self._quarantine = quarantine
        self._file.write(layout.head())
        if quarantine:
            quarantine.write(quarantine_lines((), header=True))

    def commit(self, rows: Sequence[RowValues], commit: Commit) -> None:
        """Write a window.

        Args:
            rows: What is written.
            commit: Its counts, and the rows that are left out.
        """
        self._file.write(self._layout.encode(rows))
        self._file.flush()
        if self._quarantine:
            self._quarantine.write(quarantine_lines(commit.quarantined))
        self.counts += commit.counts

    def finish(self) -> None:
        """Do nothing: all is written."""


@contextlib.contextmanager
def open_output(options: PredictOptions, layout: Layout, run: dict[str, Any]) -> Iterator[FileOutput | StreamOutput]:
    """Begin to write, or go on.

    Args:
        options: Of the run.
        layout: How rows become bytes.
        run: What a resume is held against.

    Yields:
        The output; a file is there after its `finish`.

    Raises:
        OutputError: It cannot be written, or the stopped run was another.
    """
    if not is_stream(options.target):
        rereadable = not is_stream(options.source)
        with open_work(options.target, run if rereadable else None, resume=options.resume) as work:
            yield FileOutput(options, layout, work)
        return
    with contextlib.ExitStack() as stack:
        to_stdout = str(options.target) == "-"
        pipe = sys.stdout.buffer if to_stdout else stack.enter_context(options.target.open("wb"))
        quarantine = None
        if options.quarantine_file:
            path = stack.enter_context(atomic_file(options.quarantine_file, overwrite=options.overwrite))
            quarantine = stack.enter_context(path.open("w", encoding="utf-8", newline=""))
        text = cast("TextLayout", layout)  # PredictOptions refuses Parquet here
        yield StreamOutput(text, stack.enter_context(text.stream(pipe)), quarantine)
