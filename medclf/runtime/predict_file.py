"""Classifies a table, row by row in order, in memory that does not grow with the file."""

import time
from collections.abc import Callable

from medclf.data.tables import Table
from medclf.errors import OutputError
from medclf.runtime.classifier import Classifier
from medclf.runtime.counts import Counts
from medclf.runtime.job import Job, describe
from medclf.runtime.output import FileOutput, StreamOutput, open_output
from medclf.runtime.predict_options import PredictOptions as PredictOptions
from medclf.runtime.work import Commit

Progress = Callable[[float | None, Counts], None]


def predict_file(classifier: Classifier, options: PredictOptions, *, progress: Progress | None = None) -> Counts:
    """Classify a table.

    Args:
        classifier: The model.
        options: The tables.
        progress: Called after each window with the fraction of the input that was read, None
            where its length is not known, and the counts so far.

    Returns:
        The counts, those of a run that was resumed included.

    Raises:
        DataError: The input cannot be read, or a row cannot be classified and is not to be skipped.
        OptionError: A column is asked for twice.
        OutputError: The output cannot be written, or the run to resume was another. Where rows are committed, this and
            every other error has a note that says so.
    """
    with Table(options.source, encoding=options.encoding, named=options.source_format) as table:
        job = Job(classifier, options, table, options.form)
        with open_output(options, job.layout, _run(classifier, options, job)) as output:
            if output.counts.n_quarantined and options.on_error != "quarantine":
                raise OutputError(f"the run that was stopped had --on-error quarantine, this one {options.on_error}.")
            if not output.complete:
                _classify(job, output, lambda counts: progress and progress(table.fraction_read, counts))
            output.finish()
            return output.counts


def _run(classifier: Classifier, options: PredictOptions, job: Job) -> dict[str, object]:
    """Say what decides the bytes of the output, so that a resume can be held against it."""
    at = options.source.stat() if options.source.is_file() else None
    return {
        "input size": at and at.st_size,
        "input time": at and at.st_mtime_ns,
        "input format": options.source_format,
        "output format": options.form.name,
        "precision": classifier.precision,
        "provider": classifier.provider,
        **describe(classifier.manifest, options, job.columns),
    }


def _classify(job: Job, output: FileOutput | StreamOutput, progress: Callable[[Counts], None]) -> None:
    begun = time.perf_counter()
    for window in job.answers(output.counts.n_rows):
        now = time.perf_counter()
        counts = Counts.of(window.predictions, n_quarantined=len(window.left_out), seconds=now - begun)
        output.commit(window.rows, Commit(counts, tuple(window.left_out)))
        begun = now
        progress(output.counts)
