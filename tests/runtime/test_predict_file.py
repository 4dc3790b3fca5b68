"""What `predict_file` does beyond the command: the answers of a classifier that refuses more than tables do."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from runtime.stub import StubClassifier

from medclf.errors import DataError, OptionError
from medclf.runtime.counts import Counts
from medclf.runtime.predict_file import predict_file
from medclf.runtime.predict_options import PredictOptions


class Strict(StubClassifier):
    """Refuses the second text of a window."""

    def classify_windows(self, stream: Any) -> Iterator[Any]:
        for predictions in super().classify_windows(stream):
            yield replace(predictions, errors={1: "is too odd"}, labels=[predictions.labels[0], None])


@pytest.fixture
def options(tmp_path: Path) -> PredictOptions:
    (tmp_path / "in.csv").write_text("text\nbaba\ncece\n")
    return PredictOptions(tmp_path / "in.csv", tmp_path / "out.csv")


def test_what_the_classifier_refuses_is_told_by_row(options: PredictOptions, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"in\.csv, row 2 is too odd. Correct the row"):
        predict_file(Strict(), options)
    counts = predict_file(Strict(), replace(options, on_error="skip"))
    assert (counts.n_rows, counts.n_skipped) == (2, 1)
    assert (tmp_path / "out.csv").read_text().splitlines()[2] == "2,,,,is too odd"
    left_out = replace(options, on_error="quarantine", target=tmp_path / "good.csv")
    assert predict_file(Strict(), left_out).n_quarantined == 1
    assert (tmp_path / "good.quarantine.csv").read_text().splitlines()[1] == "2,,is too odd,"


def test_counts_of_parts_add_up() -> None:
    assert Counts(1, 2, 3, 4, 5, 0.5) + Counts(10, 20, 30, 40, 50, 1.0) == Counts(11, 22, 33, 44, 55, 1.5)


def test_options_that_are_refused(options: PredictOptions) -> None:
    with pytest.raises(OptionError, match="on_error is 'hope', expected one of fail, skip, quarantine"):
        replace(options, on_error="hope")
