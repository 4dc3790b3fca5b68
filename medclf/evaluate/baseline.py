"""The baseline of every run: TF-IDF and logistic regression, so that a user sees what BERT bought.

With several labels a text it is one logistic regression a label, with thresholds fitted as the model's are.
"""

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import Pipeline, make_pipeline

from medclf.data.tables import LabelledTexts
from medclf.errors import DataError
from medclf.evaluate.calibration import fit_thresholds
from medclf.evaluate.metrics import scores
from medclf.labels import Floats, Labels, Targets

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
        targets = labels.targets(train.labels)
        solver = LogisticRegression(C=C, class_weight=class_weight, max_iter=1_000, random_state=seed)
        model = OneVsRestClassifier(solver) if labels.multi_label else solver
        try:
            self._pipeline = _fit(_pipeline(model, min_df=2), train, targets)
        except ValueError:  # no word occurs twice: a tiny table
            try:
                self._pipeline = _fit(_pipeline(model, min_df=1), train, targets)
            except ValueError as error:
                raise DataError(
                    f"{train.file}: no training text holds a word of two letters or more. Is this the text column?"
                ) from error

    def fit_thresholds(self, validation: LabelledTexts) -> None:
        """Fit the probability from which each label is given; with one label a text there is none.

        Args:
            validation: The same rows that the model's are fitted on.
        """
        if self._labels.multi_label:
            found = fit_thresholds(self.probabilities(validation), self._labels.targets(validation.labels))
            self._labels = replace(self._labels, thresholds=found)

    def predict(self, data: LabelledTexts) -> Targets:
        """Say which label, or labels, each text is given.

        Args:
            data: At least one text.

        Returns:
            int64 [texts], or bool [texts, labels] where a text may have several.
        """
        return self._labels.predicted(self.probabilities(data))

    def score(self, data: LabelledTexts) -> dict[str, Any]:
        """Score the baseline on a part.

        Args:
            data: At least one text; every label a member of the contract.

        Returns:
            As `medclf.evaluate.metrics.scores`.
        """
        return scores(self._labels.targets(data.labels), self.predict(data), self._labels.names)

    def probabilities(self, data: LabelledTexts) -> Floats:
        """Give the probability of each label.

        Args:
            data: At least one text.

        Returns:
            float32 [texts, labels].
        """
        found = self._pipeline.predict_proba(_texts(data))
        return np.asarray(found[:, -len(self._labels) :], dtype=np.float32)  # "no" stands before an only label


def _fit(pipeline: Pipeline, train: LabelledTexts, targets: Targets) -> Pipeline:
    with warnings.catch_warnings():  # a label that all texts have, which is then always given
        warnings.filterwarnings("ignore", message="Label .* is present in all training examples")
        return pipeline.fit(_texts(train), targets)


def _pipeline(model: LogisticRegression | OneVsRestClassifier, *, min_df: int) -> Pipeline:
    vectorizer = TfidfVectorizer(
        ngram_range=(1, 2), sublinear_tf=True, min_df=min_df, max_features=MAX_FEATURES, token_pattern=WORD
    )
    return make_pipeline(vectorizer, model)


def _texts(data: LabelledTexts) -> list[str]:
    if data.pairs is None:
        return data.texts
    return [f"{text} {pair}" for text, pair in zip(data.texts, data.pairs, strict=True)]
