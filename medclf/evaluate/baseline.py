"""The baseline of every run: TF-IDF and logistic regression, so that a user sees what BERT bought."""

from typing import Any

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline

from medclf.data.tables import LabelledTexts
from medclf.errors import DataError
from medclf.evaluate.metrics import scores
from medclf.labels import Labels

# Name -> class_weight. Balanced weights trade accuracy for rare classes, and so for macro-F1: without that one beside
# it, a model would look better than it is.
BASELINES = {"baseline": None, "baseline_balanced": "balanced"}
MAX_FEATURES = 40_000
C = 10.0  # scikit-learn's 1 is too tight for the short rows of TF-IDF: 8 points of macro-F1 lower on abstracts
# scikit-learn's words of two letters or more; each Chinese character is a word, as there are no spaces to go by
WORD = r"[\u3400-\u9fff]|[^\W\u3400-\u9fff]{2,}"


class Baseline:
    """TF-IDF of words and pairs of words, and a logistic regression on them."""

    def __init__(self, train: LabelledTexts, labels: Labels, *, seed: int, class_weight: str | None = None) -> None:
        """Fit to the training part.

        Args:
            train: The same rows that the model is trained on.
            labels: The label contract.
            seed: Of the solver.
            class_weight: None counts rows alike, `balanced` classes.

        Raises:
            DataError: No text holds a word of two letters.
        """
        self._labels = labels
        targets = labels.ids_of(train.labels)
        solver = LogisticRegression(C=C, class_weight=class_weight, max_iter=1_000, random_state=seed)
        try:
            self._pipeline = _pipeline(solver, min_df=2).fit(_texts(train), targets)
        except ValueError:  # no word occurs twice: a tiny table
            try:
                self._pipeline = _pipeline(solver, min_df=1).fit(_texts(train), targets)
            except ValueError as error:
                raise DataError(
                    f"{train.file}: no training text holds a word of two letters or more. Is this the text column?"
                ) from error

    def score(self, data: LabelledTexts) -> dict[str, Any]:
        """Score the baseline on a part.

        Args:
            data: At least one text; every label a member of the contract.

        Returns:
            As `medclf.evaluate.metrics.scores`.
        """
        predicted = np.asarray(self._pipeline.predict(_texts(data)), dtype=np.int64)
        return scores(self._labels.ids_of(data.labels), predicted, self._labels.names)


def _pipeline(solver: LogisticRegression, *, min_df: int) -> Pipeline:
    vectorizer = TfidfVectorizer(
        ngram_range=(1, 2), sublinear_tf=True, min_df=min_df, max_features=MAX_FEATURES, token_pattern=WORD
    )
    return make_pipeline(vectorizer, solver)


def _texts(data: LabelledTexts) -> list[str]:
    if data.pairs is None:
        return data.texts
    return [f"{text} {pair}" for text, pair in zip(data.texts, data.pairs, strict=True)]
