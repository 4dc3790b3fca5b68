"""One run, in order: workers, a survey of the tables, their partitions, the manifest.

The driver sees names, numbers and hashes, never a row: its memory grows with the number of partitions alone, and by
8 bytes a row where ids are compared.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from medclf.bundle import read_manifest
from medclf.cluster.ray.commits import OutputFolder
from medclf.cluster.ray.dispatch import Call, Dispatcher, Pool, check_opened
from medclf.cluster.ray.ids import SeenIds
from medclf.cluster.ray.inputs import InputFile, list_inputs, would_read
from medclf.cluster.ray.options import RayOptions
from medclf.cluster.ray.plan import Plan, make_plan
from medclf.cluster.ray.progress import Progress, Result, State
from medclf.cluster.ray.storage import locate, shown
from medclf.cluster.ray.survey import Partition, Survey, Wanted
from medclf.cluster.ray.worker import Done, Opened, Outcome, Setting, versions
from medclf.data.readers import SHOWN
from medclf.errors import ClusterError, DataError, MedclfError, OptionError, OutputError
from medclf.runtime.job import Columns, describe, manifest_sha256


class Run:
    """What is read and written, and how far it is."""

    def __init__(self, options: RayOptions, progress: Progress) -> None:
        """Look at bundle and input, before anything is started.

        Args:
            options: What to classify, where, and what to write.
            progress: Called again and again.

        Raises:
            BundleError: There is no bundle.
            DataError: There is no table.
            OptionError: The output lies in the input, or two columns would have one name.
        """
        self._options = options = options.with_id
        self._progress = progress
        manifest = read_manifest(Path(options.bundle))
        self._columns = Columns.of(manifest, options, first=("file",))
        self.output = locate(options.target)
        if would_read(options.source, self.output):
            raise OptionError(
                f"{shown(options.target)} lies in the input, and would be read as a part of it. Name another."
            )
        inputs, self._files = list_inputs(options.source, options.source_format)
        self.setting = Setting(options, inputs, self.output, manifest_sha256(manifest))
        self._description: dict[str, Any] = {
            **describe(manifest, options, self._columns),
            "input": inputs.path,
            "input format": options.source_format,
            "id column": options.id_column,
        }
        self._opened: Opened | None = None
        self._seen = SeenIds()
        self._faults: list[str] = []

    def take(self, output: OutputFolder, *, goes_on: bool) -> None:
        """Take the output, and refuse to go on with another run.

        Args:
            output: The folder.
            goes_on: Whether it is that of a stopped run.

        Raises:
            OutputError: The stopped run had another bundle, options or input.
        """
        self._folder = output
        self._goes_on = goes_on
        self._n_rows_before = output.counts.n_rows
        if not goes_on:
            return
        self._description["partition rows"] = self._options.partition_rows or output.run().get("partition rows")
        output.check_run(self._description)
        if output.counts.n_quarantined and self._options.on_error != "quarantine":
            raise OutputError(f"the run that was stopped had --on-error quarantine, this one {self._options.on_error}.")
        if output.plan:
            output.check_inputs(self._files)

    def execute(self, pool: Pool, cores: Sequence[int], *, begun: float) -> Result:
        """Do all that is left to do.

        Args:
            pool: Where workers come from.
            cores: Of each.
            begun: When the run began, by `time.monotonic`.

        Returns:
            What was done.

        Raises:
            DataError: A table or a row cannot be used.
            ClusterError: The workers cannot be used.
        """
        self._description.setdefault("partition rows", self._options.rows_for(max(cores)))
        self._workers = Dispatcher(pool, cores, self._check_worker)
        self._workers.wait_for_one(self._tick)
        ready = time.monotonic()
        self._survey()
        self._raise_faults(fatal=self._options.on_error == "fail")
        self._classify()
        self._raise_faults(fatal=True)
        self._folder.finish(self._description)
        opened = self._opened or Opened({}, "", "")
        return Result(
            counts=self._folder.counts,
            n_rows_before=self._n_rows_before,
            n_parts=len(self._folder.committed),
            n_workers=self._workers.n_open,
            n_deaths=self._workers.n_deaths,
            start_s=ready - begun,
            seconds=time.monotonic() - ready,
            precision=opened.precision,
            provider=opened.provider,
        )

    def _check_worker(self, outcome: Outcome) -> None:
        opened = check_opened(outcome, versions())
        taken = {"precision": opened.precision, "provider": opened.provider}
        before = self._opened
        if before is None:
            self._opened = opened
            self._description |= taken
            if self._goes_on:
                self._folder.check_run(self._description)
            else:
                self._folder.begin(self._description)
        elif (before.precision, before.provider) != (opened.precision, opened.provider):
            raise ClusterError(
                f"the worker on {outcome.node} took {opened.precision} on {opened.provider}, another one "
                f"{before.precision} on {before.provider}. Name one with --precision and --provider."
            )

    def _survey(self) -> None:
        """Find the partitions of the tables of which nothing is known yet, and write the plan."""
        folder, options = self._folder, self._options
        before = {table.file: table.survey for table in folder.plan.tables} if folder.plan else {}
        found: dict[InputFile, Survey | None] = {file: before.get(file) for file in self._files}
        kept = tuple(self._columns.kept)
        wanted = Wanted(
            self._columns.read, kept, options.source_format, options.encoding, self._description["partition rows"]
        )
        calls = [
            Call("survey", (file, f"part-{number:05d}", wanted))
            for number, file in enumerate(self._files)
            if found[file] is None
        ]
        n_done = 0

        def done(call: Call, outcome: Outcome) -> bool:
            nonlocal n_done
            n_done += 1
            file: InputFile = call.arguments[0]
            fault = outcome.fault
            if not fault and not outcome.value.partitions:
                fault = f"{self.setting.inputs.at(file.name)} has no rows: at least one row was expected."
            if fault:
                self._fault(fault, of_input=outcome.of_input or not outcome.fault)
            else:
                found[file] = outcome.value
            return True  # all tables are looked at, so that all faults are told at once

        self._workers.run(calls, done, lambda: self._tick("surveying", n_done / len(calls)))
        plan, faults = make_plan(found, self._columns.kept)
        self._faults += faults
        if folder.committed and folder.plan and folder.plan.types != plan.types:
            raise OutputError("the columns to keep hold other kinds of values than before. Begin again: --overwrite.")
        folder.write_plan(plan)

    def _classify(self) -> None:
        """Classify what is not committed."""
        folder, plan = self._folder, self._folder.plan or Plan([], {})
        if self._options.id_column:
            for partition in plan.partitions:
                if partition.name in folder.committed:
                    self._seen.add(folder.ids(partition))
        n_bytes = {one.name: one.size_bytes for one in plan.partitions}
        begun = time.monotonic()

        def done(call: Call, outcome: Outcome) -> bool:
            partition: Partition = call.arguments[0]
            fault = outcome.fault or self._repeated(plan, partition, outcome.value)
            if fault:
                self._fault(f"{partition}: {fault}", of_input=outcome.of_input or not outcome.fault)
                return self._options.on_error != "fail"
            folder.commit(partition, outcome.value)
            return True

        def tick() -> None:
            n_done = sum(n_bytes[name] for name in folder.committed)
            rate = (folder.counts.n_rows - self._n_rows_before) / max(time.monotonic() - begun, 1e-9)
            self._tick("classifying", n_done / max(1, sum(n_bytes.values())), rate)

        types = tuple(plan.types.items())
        calls = [Call("classify", (one, types)) for one in plan.partitions if one.name not in folder.committed]
        self._workers.run(calls, done, tick)

    def _repeated(self, plan: Plan, partition: Partition, done: Done) -> str:
        """Say which other row has an id of this partition; an empty string if none has."""
        position = None if done.ids is None else self._seen.add(done.ids)
        if position is None or done.ids is None:
            return ""
        row = f"row {partition.first_row + position:,} has the {self._options.id_column!r} of"
        for other in plan.partitions:
            if other.name in self._folder.committed:
                (same,) = (self._folder.ids(other) == done.ids[position]).nonzero()
                if len(same):
                    at = f"row {other.first_row + int(same[0]):,} of {other.file} ({other.name})"
                    return f"{row} {at}. Each row needs its own."
        return f"{row} another row. Each row needs its own."

    def _fault(self, fault: str, *, of_input: bool) -> None:
        if not of_input:
            raise MedclfError(fault)
        self._faults.append(fault)

    def _raise_faults(self, *, fatal: bool) -> None:
        faults = self._faults
        if not faults or not fatal:
            return
        if len(faults) == 1:
            raise DataError(faults[0])
        more = " ..." if len(faults) > SHOWN else ""
        raise DataError(f"{len(faults):,} parts of the input cannot be used: {' '.join(faults[:SHOWN])}{more}")

    def _tick(self, doing: str = "starting", fraction: float = 0.0, rows_per_s: float = 0.0) -> None:
        workers, n_rows = self._workers, self._folder.counts.n_rows
        self._progress(State(doing, fraction, workers.n_open, workers.n_deaths, n_rows, rows_per_s))
