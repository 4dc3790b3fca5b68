"""Options: their defaults are good, and each range is checked; all faults are told at once."""

from pathlib import Path
from typing import Any

import pytest

from medclf.bundle import TextColumns
from medclf.errors import OptionError
from medclf.train.options import TrainOptions


def test_defaults_are_accepted_and_written_as_json() -> None:
    options = TrainOptions(Path("abstracts.csv"))
    assert options.columns == TextColumns(("text",), ())
    document = options.to_json()
    assert (document["data"], document["text_column"], document["eval_data"]) == ("abstracts.csv", ["text"], None)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("test_size", 0), ("test_size", 0.81), ("test_size", float("nan")), ("epochs", 0), ("batch_size", 0),
        ("learning_rate", 0), ("learning_rate", float("nan")), ("learning_rate", 2.0), ("max_length", 7),
        ("weight_decay", -0.1), ("warmup_ratio", 1), ("patience", -1), ("max_grad_norm", 0),
        ("max_grad_norm", float("inf")), ("gradient_accumulation", 0), ("seed", -1), ("seed", 2**32), ("device", "tpu"),
        ("stop_after", 0), ("text_column", ()), ("model", " "), ("encoding", "latin-99"), ("encoding", "rot13"),
    ],
)  # fmt: skip
def test_value_out_of_its_range(field: str, value: Any) -> None:
    with pytest.raises(OptionError, match=rf"{field} is .*, expected"):
        TrainOptions(Path("a.csv"), **{field: value})


def test_column_named_twice() -> None:
    with pytest.raises(OptionError, match=r"column\(s\) 'text' named twice"):
        TrainOptions(Path("a.csv"), text_pair_column=("text",))


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(OptionError, match=r"epochs is 0, expected 1 to 10,000; batch_size is -1, expected"):
        TrainOptions(Path("a.csv"), epochs=0, batch_size=-1)
