"""What was done so far."""

from dataclasses import dataclass, fields

from medclf.runtime.predictions import Predictions


@dataclass(frozen=True)
class Counts:
    """What was done so far; sums of the parts of a file are those of the file.

    Attributes:
        n_rows: Rows read.
        n_tokens: Tokens that the model saw.
        n_truncated: Rows of whose text the model did not see all.
        n_cut_tokens: Tokens that it did not see.
        n_windows: Rows of the model that the texts made: one each, or more where long texts are cut into windows.
        n_skipped: Rows that were written without an answer.
        n_quarantined: Rows that were left out, and are named in the quarantine file.
        n_abstained: Rows that were written without a label, as the answer was too unsure.
        seconds: Time that it took.
    """

    n_rows: int = 0
    n_tokens: int = 0
    n_truncated: int = 0
    n_cut_tokens: int = 0
    n_windows: int = 0
    n_skipped: int = 0
    n_quarantined: int = 0
    n_abstained: int = 0
    seconds: float = 0.0

    @classmethod
    def of(cls, predictions: Predictions, *, n_quarantined: int, seconds: float) -> "Counts":
        """Count a window.

        Args:
            predictions: Its answers.
            n_quarantined: Rows without an answer that are not written.
            seconds: Time that it took.

        Returns:
            Its counts.
        """
        cut = predictions.truncation
        return cls(
            n_rows=len(predictions),
            n_tokens=cut.n_tokens - cut.n_tokens_cut,
            n_truncated=cut.n_truncated,
            n_cut_tokens=cut.n_tokens_cut,
            n_windows=int(predictions.n_windows.sum()),
            n_skipped=len(predictions.errors) - n_quarantined,
            n_quarantined=n_quarantined,
            n_abstained=int(predictions.abstained.sum()),
            seconds=seconds,
        )

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(*(getattr(self, one.name) + getattr(other, one.name) for one in fields(self)))
