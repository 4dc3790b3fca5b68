"""What `medclf-predict` is asked for; what cannot be is refused here, before a model is loaded."""

from dataclasses import dataclass
from pathlib import Path

from medclf.atomic import check_output
from medclf.data.formats import TableFormat, formats_text, is_stream, table_format
from medclf.data.tables import check_source
from medclf.errors import OptionError
from medclf.runtime.work import check_target

ON_ERROR = ("fail", "skip", "quarantine")


@dataclass(frozen=True, kw_only=True)
class RowOptions:
    """What is read of each row, and what is written.

    Attributes:
        text: Columns that make the text; empty for those that the model was trained on.
        pair: Columns that make the second text; empty for those that the model was trained on.
        keep: Columns of the input to carry over.
        probabilities: Whether each label gets a column.
        on_error: A row that cannot be classified: `fail` stops, `skip` writes it without an answer, `quarantine` leaves
            it out and names it in a second file.
        encoding: Character encoding of the input.
    """

    text: tuple[str, ...] = ()
    pair: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    probabilities: bool = False
    on_error: str = "fail"
    encoding: str = "utf-8"

    def __post_init__(self) -> None:
        if self.on_error not in ON_ERROR:
            raise OptionError(f"on_error is {self.on_error!r}, expected one of {', '.join(ON_ERROR)}.")


@dataclass(frozen=True)
class PredictOptions(RowOptions):
    """What to classify, and what to write.

    Attributes:
        source: The table to read; `-` for stdin.
        target: The table to write; `-` for stdout.
        source_format: Such as `csv` or `jsonl.gz`; empty for that of the suffix.
        target_format: Such as `csv` or `jsonl.gz`; empty for that of the suffix.
        quarantine: The second file of `on_error`; None for one beside the target.
        overwrite: Whether an existing output is replaced.
        resume: Whether to go on after the rows that a stopped run committed.
    """

    source: Path
    target: Path
    source_format: str = ""
    target_format: str = ""
    quarantine: Path | None = None
    overwrite: bool = False
    resume: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.quarantine and self.on_error != "quarantine":
            raise OptionError("--quarantine names a file for --on-error quarantine, which was not asked for.")
        if self.form.name == "parquet" and is_stream(self.target):
            raise OptionError(
                "Parquet is written to files: its parts are joined at the end. Name a file with --output."
            )
        check_source(self.source, self.source_format)
        self._check_files()

    @property
    def form(self) -> TableFormat:
        """The format of the output."""
        form = table_format(self.target, self.target_format)
        if form is None:
            raise OptionError(
                f"{self.target}: the suffix must be one of {formats_text()}; it is the format. "
                "Where there is none, name the format, as in --output-format csv."
            )
        return form

    @property
    def quarantine_file(self) -> Path | None:
        """Where rows that are left out are named: `labels.quarantine.csv` for `labels.parquet`."""
        if self.on_error != "quarantine" or self.quarantine:
            return self.quarantine
        suffix = "" if self.target_format else self.form.suffix
        return self.target.with_name(f"{self.target.name[: len(self.target.name) - len(suffix)]}.quarantine.csv")

    def _check_files(self) -> None:
        if self.resume and (is_stream(self.source) or is_stream(self.target)):
            raise OptionError("--resume goes on in files; a pipe cannot be read or written from the middle.")
        if is_stream(self.target) and self.on_error == "quarantine" and not self.quarantine:
            raise OptionError(f"{self.target} takes the rows: name a file for the others with --quarantine.")
        if _same(self.source, self.target):
            raise OptionError(f"{self.target} is the input. Name another output.")
        if not is_stream(self.target):
            check_target(self.target, resume=self.resume, overwrite=self.overwrite)
        if self.quarantine_file:
            if _same(self.quarantine_file, self.source) or _same(self.quarantine_file, self.target):
                raise OptionError(f"{self.quarantine_file} is the input or the output. Name another --quarantine.")
            check_output(self.quarantine_file, overwrite=self.overwrite or self.resume)  # a resume asks again, later


def _same(one: Path, other: Path) -> bool:
    if is_stream(one) or is_stream(other):
        return False
    return one.resolve() == other.resolve() or (one.exists() and other.exists() and one.samefile(other))
