"""The bodies that are given: predictions in our form and in that of text-embeddings-inference, and errors."""

import json
import math
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from medclf.errors import RequestError
from medclf.labels import Floats, Label, Labels
from medclf.runtime.occlusion import Piece, log_odds
from medclf.runtime.predictions import decide
from medclf.serve.service import Answer


class Result(BaseModel):
    """The answer to one text."""

    label: str | list[str] | None = Field(
        description="The label; a list of labels where a text may have several; null without an answer."
    )
    probability: float | None = Field(
        None, description="That of the label, calibrated; null where there may be several."
    )
    probabilities: dict[str, float] | None = Field(None, description="Of each label, the largest first.")
    n_tokens: int = Field(description="Length of the text, before it was cut.")
    truncated: bool = Field(description="Whether the text was longer than the model takes, and lost its end.")
    abstained: bool | None = Field(None, description="True where the answer was too unsure: a person should look.")
    error: str | None = Field(None, description="Why there is no answer.")


class PredictAnswer(BaseModel):
    """The answers, entry i to text i."""

    model: str
    results: list[Result]

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "model": "default",
                    "results": [
                        {
                            "label": "cardiology",
                            "probability": 0.93,
                            "probabilities": {"cardiology": 0.93, "neurology": 0.07},
                            "n_tokens": 9,
                            "truncated": False,
                        }
                    ],
                }
            ]
        }
    )


class Effect(BaseModel):
    """What a piece of a text does to the answer."""

    start: int = Field(description="Its first character, from 0; characters are Unicode code points.")
    end: int = Field(description="The character after its last.")
    second: bool = Field(description="Whether it is of the second text of a pair.")
    effect: float = Field(description="Log-odds of the label with the piece, less those without it.")


class ExplainAnswer(BaseModel):
    """Which words an answer rests on."""

    model: str
    label: str = Field(description="The label that is explained.")
    probability: float = Field(description="Of that label, for the whole text.")
    effects: list[Effect]
    truncated: bool = Field(description="Whether the text lost its end, which then has no effect.")


class ErrorAnswer(BaseModel):
    """An error; never holds a piece of a request."""

    error: str
    error_type: str = Field(description="Its kind, such as Validation or Overloaded.")
    request_id: str


class TeiPrediction(BaseModel):
    """A label and its score."""

    label: str
    score: float


def results(
    labels: Labels, answer: Answer, *, top_k: int | None, probabilities: bool
) -> tuple[list[dict[str, Any]], list[str]]:
    """Write the answers of `/v1/predict`.

    Args:
        labels: The label contract.
        answer: What the model said.
        top_k: How many probabilities; None for all.
        probabilities: Whether to give any.

    Returns:
        One `Result` a text; and every label that was given, for counting.
    """
    each = labels.probabilities(answer.logits)
    decided = decide(labels, each)
    rows = []
    for row, label in enumerate(decided):
        one: dict[str, Any] = {"label": list(label) if isinstance(label, tuple) else label}
        if row in answer.errors:
            one["error"] = answer.errors[row]
        elif label is None:
            one["abstained"] = True
        elif not labels.multi_label:
            one["probability"] = _rounded(each[row].max())
        if probabilities and row not in answer.errors:
            one["probabilities"] = dict(ranked(labels, each[row])[:top_k])
        rows.append(one | {"n_tokens": answer.n_tokens[row], "truncated": answer.truncated[row]})
    return rows, given(decided)


def given(decided: list[Label | None]) -> list[str]:
    """List the names in labels.

    Args:
        decided: A label each text.

    Returns:
        Every name, as often as it was given.
    """
    return [name for label in decided if label is not None for name in ((label,) if isinstance(label, str) else label)]


def ranked(labels: Labels, scores: Floats) -> list[tuple[str, float]]:
    """Name the scores of one text.

    Args:
        labels: The label contract.
        scores: float32 [labels].

    Returns:
        Name and score, the largest first; equal ones in the order of the labels.
    """
    order = sorted(range(len(labels)), key=lambda i: -scores[i])
    return [(labels.names[i], _rounded(scores[i])) for i in order]


def explained(labels: Labels, answer: Answer, pieces: Sequence[Piece], label: str | None) -> dict[str, Any]:
    """Write the answer of `/v1/explain`.

    Args:
        labels: The label contract.
        answer: To the whole text, and to the text without each piece.
        pieces: The pieces.
        label: Which label to explain; None for the most probable one.

    Returns:
        An `ExplainAnswer`, without the model's name.

    Raises:
        RequestError: 422, there is no such label.
    """
    if label is not None and label not in labels.names:
        raise RequestError("label: the model has no such label; /v1/info names them.", status=422)
    probabilities = labels.probabilities(answer.logits)
    column = int(probabilities[0].argmax()) if label is None else labels.names.index(label)
    odds = log_odds(labels, answer.logits)[:, column]
    return {
        "label": labels.names[column],
        "probability": _rounded(probabilities[0, column]),
        "effects": [
            {"start": one.start, "end": one.end, "second": one.second, "effect": _rounded(odds[0] - without)}
            for one, without in zip(pieces, odds[1:], strict=True)
        ],
        "truncated": answer.truncated[0],
    }


def tei_predictions(labels: Labels, answer: Answer, *, raw_scores: bool) -> list[list[dict[str, Any]]]:
    """Write the answers of `/predict`.

    Args:
        labels: The label contract.
        answer: What the model said.
        raw_scores: Whether scores are logits.

    Returns:
        For each text every label, the largest score first.
    """
    scores = answer.logits if raw_scores else labels.probabilities(answer.logits)
    return [[{"label": name, "score": score} for name, score in ranked(labels, row)] for row in scores]


def error_body(error: RequestError, request_id: str) -> bytes:
    """Write an error.

    Args:
        error: The error; its message is ours.
        request_id: Of the request.

    Returns:
        JSON.
    """
    body = {"error": str(error), "error_type": error.error_type, "request_id": request_id}
    return json.dumps(body).encode()


def error_headers(error: RequestError) -> dict[str, str]:
    """Give the headers that belong to an error.

    Args:
        error: The error.

    Returns:
        `Retry-After` in whole seconds, and for 401 how to show a key.
    """
    headers = {}
    if error.retry_after_s is not None:
        headers["retry-after"] = str(max(1, min(60, math.ceil(error.retry_after_s))))
    if error.status == 401:
        headers["www-authenticate"] = 'Bearer realm="medclf", Basic realm="medclf", charset="UTF-8"'
    return headers


def _rounded(score: float) -> float:
    return round(float(score), 7)  # float32 has no more digits
