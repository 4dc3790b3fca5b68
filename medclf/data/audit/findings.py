"""What an audit gives: findings, and the counts that they rest on. Row numbers and label names, never a text."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Severity = Literal["error", "warning", "note"]
N_ROWS = 10  # row numbers that a finding gives

__all__ = ["N_ROWS", "Audit", "Finding", "Lengths", "Severity", "TableCounts", "count_text", "finding"]


@dataclass(frozen=True)
class Finding:
    """One thing to know about a table.

    Attributes:
        check: Its name, which stays the same from version to version, such as `contradictions`.
        severity: `error`: a model or its scores would be wrong; `warning`: they would be worse, or look better than
            they are; `note`: worth knowing.
        file: The table that it is about.
        n: How many rows, or for checks of labels how many labels, it is about.
        what: What was found, in a sentence.
        do: What to do about it; empty where there is nothing to do.
        rows: The first row numbers, the first data row being 1.
    """

    check: str
    severity: Severity
    file: str
    n: int
    what: str
    do: str = ""
    rows: tuple[int, ...] = ()


def finding(
    check: str, severity: Severity, file: object, what: str, *, do: str = "", rows: Iterable[int] = ()
) -> Finding:
    """Make a finding about rows.

    Args:
        check: As of `Finding`.
        severity: As of `Finding`.
        file: As of `Finding`.
        what: As of `Finding`.
        do: As of `Finding`.
        rows: All row numbers that it is about.

    Returns:
        The finding, with the first of the row numbers.
    """
    numbers = sorted(set(rows))
    return Finding(check, severity, str(file), len(numbers), what, do, tuple(numbers[:N_ROWS]))


def count_text(n: int, noun: str) -> str:
    """Write a count with its noun.

    Args:
        n: How many.
        noun: Of one.

    Returns:
        Such as `1 text` or `1,407 texts`.
    """
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


@dataclass(frozen=True)
class Lengths:
    """How long the texts of a table are.

    Attributes:
        unit: `tokens`, special ones included, or `words` where no tokenizer was at hand.
        tokenizer: Which tokenizer counted; empty for words.
        quantiles: `p5`, `p25`, `p50`, `p75`, `p95`, `p99`, `max`, `mean`.
        max_length: The limit that they are held against.
        n_cut: Texts that are longer; of words a lower bound, as a word is a token or more.
        unknown_share: Share of the tokens that the vocabulary does not know, 0 to 1; None for words.
        edges: Bounds of the bins of a histogram, the last one open.
        counts: Texts in each bin.
    """

    unit: Literal["tokens", "words"]
    tokenizer: str
    quantiles: dict[str, float]
    max_length: int
    n_cut: int
    unknown_share: float | None
    edges: tuple[int, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True)
class TableCounts:
    """The counts of one table.

    Attributes:
        file: Its path, as given.
        sha256: Hash of its bytes.
        n_rows: All rows.
        n_usable: Rows with a text and a label that can be used; what follows is of them.
        n_texts: Different texts, but for case, spaces and punctuation.
        n_groups: Different groups; None without a group column.
        n_contradicting_texts: Texts under more than one label, or set of labels.
        n_contradicting_rows: Their rows.
        ceiling: Highest accuracy (exact match) of any classifier that sees the text alone.
        label_ceiling: With several labels a text: the highest share of right decisions, label by label; else None.
        classes: Label -> its rows, the most frequent first.
        n_unlabelled: With several labels a text: rows without any.
        lengths: How long its texts are.
    """

    file: str
    sha256: str
    n_rows: int
    n_usable: int
    n_texts: int
    n_groups: int | None
    n_contradicting_texts: int
    n_contradicting_rows: int
    ceiling: float
    label_ceiling: float | None
    classes: dict[str, int]
    n_unlabelled: int
    lengths: Lengths


@dataclass(frozen=True)
class Audit:
    """The outcome for a table, and for a second one that is to test what is trained on the first.

    Attributes:
        tables: Counts of each table.
        findings: Errors first, then warnings, then notes.
        passed: Checks that found nothing, by name.
    """

    tables: tuple[TableCounts, ...]
    findings: tuple[Finding, ...]
    passed: tuple[str, ...] = field(default=())

    def n(self, severity: Severity) -> int:
        """Count the findings of a severity."""
        return sum(one.severity == severity for one in self.findings)

    def to_json(self) -> dict[str, Any]:
        """Give the audit as JSON holds it."""
        return asdict(self)
