"""A checkpoint: a Hugging Face folder and `training.json`, the record of how it was trained.

Written by `medclf.train.run`, read by `medclf_export`. The record names the data by path, hash and row number; no
text and no row of the data is ever in a checkpoint.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from medclf.bundle import TextColumns
from medclf.errors import CheckpointError
from medclf.labels import Labels
from medclf.long_text import TRUNCATE, LongText

TRAINING = "training.json"


@dataclass(frozen=True)
class SplitRecord:
    """Which rows of which file a part of the data was.

    Attributes:
        file: Absolute path of the table.
        sha256: Hash of the file's bytes.
        n_rows: How many rows.
        rows: Row numbers, the first data row being 1; None for every row of the file.
    """

    file: str
    sha256: str
    n_rows: int
    rows: tuple[int, ...] | None = None


@dataclass(frozen=True)
class TrainingRecord:
    """The contents of `training.json`.

    Attributes:
        columns: Columns that make a text.
        label_column: Column of the labels; several are columns of 0 and 1, each named as its label.
        max_length: Most tokens of one row of the model, special tokens included.
        splits: `train`, `validation` and `test` -> which rows they were.
        base_model: The name or folder that training began from.
        options: Every option of the run, as given or by default.
        token_lengths: Quantiles of the training texts in tokens, untruncated: `p5` ... `p95`, `max`, `mean`.
        metrics: Scores of the model and the baseline on the validation and test parts.
        encoding: Character encoding of the tables.
        versions: Versions of the software that trained it.
        temperature: Divisor of the logits, fitted on the validation part; the weights are saved without it, thresholds
            are of probabilities with it.
        long_text: What becomes of a text over `max_length`.
    """

    columns: TextColumns
    label_column: tuple[str, ...]
    max_length: int
    splits: dict[str, SplitRecord] = field(default_factory=dict)
    base_model: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    token_lengths: dict[str, float] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    encoding: str = "utf-8"
    versions: dict[str, str] = field(default_factory=dict)
    temperature: float = 1.0
    long_text: LongText = TRUNCATE

    def __post_init__(self) -> None:
        if not 0 < self.temperature < float("inf"):
            raise ValueError(f"temperature is {self.temperature}, a number over 0 was expected")

    def to_json(self) -> str:
        """Give the text of `training.json`."""
        plain = {**asdict(self), "long_text": str(self.long_text)}
        return json.dumps(plain, indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "TrainingRecord":
        """Read the text of `training.json`.

        Args:
            text: Contents of the file.

        Returns:
            The record.

        Raises:
            ValueError: It is not JSON, or a field is missing or wrong.
        """
        try:
            data = json.loads(text)
            columns = TextColumns(tuple(data["columns"]["text"]), tuple(data["columns"]["pair"]))
            splits = {name: _split(split) for name, split in data["splits"].items()}
            labels = data["label_column"]  # a string in checkpoints of version 0.1
            label_column = (labels,) if isinstance(labels, str) else tuple(labels)
            long_text = LongText.parse(data.get("long_text", "truncate"))  # version 0.1 knew no other
            given = {"columns": columns, "splits": splits, "label_column": label_column, "long_text": long_text}
            return cls(**{**data, **given})
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"a field is missing or wrong ({type(error).__name__})") from error


def _split(data: Mapping[str, Any]) -> SplitRecord:
    rows = data.get("rows")
    return SplitRecord(data["file"], data["sha256"], data["n_rows"], None if rows is None else tuple(rows))


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that was found whole.

    Attributes:
        folder: Where it is.
        config: The parsed `config.json`.
        labels: The label contract of `config.json`.
        record: The parsed `training.json`; None for a checkpoint that medclf did not train.
    """

    folder: Path
    config: dict[str, Any]
    labels: Labels
    record: TrainingRecord | None


def read_checkpoint(folder: Path) -> Checkpoint:
    """Read a checkpoint's configuration and record; the weights are not opened.

    Args:
        folder: A folder of `medclf-train`, or any Hugging Face folder of a classifier with label names.

    Returns:
        The checkpoint.

    Raises:
        CheckpointError: A file is missing or damaged, or the labels have no names.
    """
    if not folder.is_dir():
        found = "is a file, a folder was expected" if folder.exists() else "does not exist"
        raise CheckpointError(f"{folder} {found}. Train a checkpoint with medclf-train, or name its folder.")
    missing = [name for name in ("config.json", "tokenizer.json", "model.safetensors") if not (folder / name).is_file()]
    if missing:
        raise CheckpointError(f"{folder} is not a checkpoint: {', '.join(missing)} missing. medclf-train writes them.")
    try:
        config = json.loads((folder / "config.json").read_bytes())
    except ValueError as error:
        raise CheckpointError(f"{folder / 'config.json'} is not JSON: the checkpoint is damaged.") from error
    return Checkpoint(folder, config, Labels.from_config(config, where=str(folder / "config.json")), _record(folder))


def _record(folder: Path) -> TrainingRecord | None:
    path = folder / TRAINING
    if not path.is_file():
        return None
    try:
        return TrainingRecord.from_json(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(f"{path} is damaged: {error}.") from error
