"""The rows on which an export is proved: labelled, and never seen in training."""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medclf.data.known_labels import check_labels
from medclf.data.tables import LabelledTexts, read_labelled
from medclf.labels import Label, Labels, Targets
from medclf.tokenizer import Encoded, TextEncoder
from medclf.train.checkpoint import SplitRecord, TrainingRecord

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class HeldOut:
    """Encoded rows with their labels.

    Attributes:
        encoded: Token ids of each text.
        label_ids: int64 [rows], or bool [rows, labels].
        source: The file's name, hash and rows, fit for the manifest.
    """

    encoded: Sequence[Encoded]
    label_ids: Targets
    source: str

    def __len__(self) -> int:
        return len(self.encoded)

    def select(self, rows: Sequence[int]) -> "HeldOut":
        """Give some of the rows, by their index, in that order."""
        return HeldOut([self.encoded[row] for row in rows], self.label_ids[list(rows)], self.source)

    def first_tokens(self, n_tokens: int) -> "HeldOut":
        """Give the first rows that hold this many tokens together, at least one."""
        ends = np.cumsum([len(one) for one in self.encoded])
        n = max(1, int((ends <= n_tokens).sum()))
        return HeldOut(self.encoded[:n], self.label_ids[:n], self.source)


def from_file(path: Path, record: TrainingRecord, labels: Labels, encoder: TextEncoder) -> HeldOut:
    """Read the rows that the user names.

    Args:
        path: A table with the columns of the training table.
        record: How the checkpoint was trained.
        labels: The label contract.
        encoder: The checkpoint's tokenizer.

    Returns:
        Every row of the table.

    Raises:
        DataError: The table cannot be read, or holds labels that training never saw.
    """
    return _held_out([_read(path, record, labels)], labels, encoder)


def from_record(record: TrainingRecord, labels: Labels, encoder: TextEncoder) -> HeldOut | None:
    """Find the validation and test rows that training set aside.

    Args:
        record: How the checkpoint was trained.
        labels: The label contract.
        encoder: The checkpoint's tokenizer.

    Returns:
        The rows, or None if a file has gone or has changed since.
    """
    parts = []
    for name in ("validation", "test"):
        split = record.splits.get(name)
        if split is None:
            continue
        part = _read_split(split, record, labels)
        if part is None:
            return None
        parts.append(part)
    return _held_out(parts, labels, encoder) if parts else None


def _read_split(split: SplitRecord, record: TrainingRecord, labels: Labels) -> LabelledTexts | None:
    path = Path(split.file)
    if not path.is_file():
        log.warning("%s, which training set rows aside from, is not there any more.", path)
        return None
    if hashlib.sha256(path.read_bytes()).hexdigest() != split.sha256:
        log.warning("%s has changed since training set rows aside from it.", path)
        return None
    table = _read(path, record, labels)
    if split.rows is None:
        return table
    wanted = set(split.rows)
    return table.select([i for i, row in enumerate(table.rows) if row in wanted])


def _read(path: Path, record: TrainingRecord, labels: Labels) -> LabelledTexts:
    return read_labelled(
        path, columns=record.columns, label_column=record.label_column,
        multi_label=labels.multi_label, encoding=record.encoding,
    )  # fmt: skip


def _held_out(parts: Sequence[LabelledTexts], labels: Labels, encoder: TextEncoder) -> HeldOut:
    encoded: list[Encoded] = []
    names: list[Label] = []
    for part in parts:
        check_labels(part, labels)
        encoded += encoder.encode(part.texts, part.pairs)
        names += part.labels
    source = "; ".join(f"{part.file.name} (SHA-256 {part.sha256[:12]}), {len(part)} rows" for part in parts)
    return HeldOut(encoded, labels.targets(names), source)
