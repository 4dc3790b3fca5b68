"""The bodies that are taken: `/v1/predict`, `/v1/explain` and the `/predict` of text-embeddings-inference.

A body that does not fit is told where and why, never what stood there.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, FailFast, Field, ValidationError
from pydantic_core import from_json

from medclf.errors import RequestError
from medclf.runtime.occlusion import Piece, leave_out, pieces_of
from medclf.serve.service import Question
from medclf.text import text_fault

Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Body = TypeVar("Body", bound=BaseModel)


class FirstFault(FailFast):
    """Stops at the first fault of a list: a body of a million faults would cost a description of each."""

    def __hash__(self) -> int:
        """Be a part of a union, which pydantic's own cannot."""
        return hash(FirstFault)


MAX_TEXTS = 4096  # of the schema; `Limits.max_texts` is the server's own
Texts = Annotated[list[str], FirstFault(), Field(min_length=1, max_length=MAX_TEXTS)]
MAX_CONTAINERS = 3 * MAX_TEXTS
EXAMPLE = "Chest pain relieved by nitroglycerin."


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class PredictBody(_Strict):
    """Texts to classify."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"texts": [EXAMPLE, "Tonic-clonic seizures."], "top_k": 2}, {"texts": EXAMPLE}]}
    )

    texts: str | Texts = Field(description="One text, or a list of texts.")
    pairs: str | Texts | None = Field(
        None, description="The second text of each, for a model that was trained on pairs."
    )
    model: str | None = Field(None, description="Name of a bundle; the first one if it is missing.")
    top_k: int | None = Field(None, ge=1, description="Give only so many of the probabilities, the largest.")
    probabilities: bool = Field(True, description="Whether to give the probability of every label.")
    on_error: Literal["fail", "skip"] = Field(
        "fail", description="A text that cannot be classified refuses the request, or is left without an answer."
    )

    def question(self) -> Question:
        """Give the texts as the service takes them.

        Returns:
            The question.

        Raises:
            RequestError: 422, texts and pairs do not fit together.
        """
        texts, pairs = _listed(self.texts), None if self.pairs is None else _listed(self.pairs)
        if pairs is not None and len(pairs) != len(texts):
            raise RequestError(
                f"{len(texts)} texts and {len(pairs)} pairs: each text needs its second text.", status=422
            )
        return Question(texts, pairs, skip_errors=self.on_error == "skip")


class ExplainBody(_Strict):
    """A text, and which label to explain."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"text": EXAMPLE}]})

    text: str
    pair: str | None = Field(None, description="The second text, for a model that was trained on pairs.")
    label: str | None = Field(None, description="Which label; the most probable one if it is missing.")
    model: str | None = Field(None, description="Name of a bundle; the first one if it is missing.")
    max_pieces: int = Field(
        64, ge=1, le=200, description="Texts that the answer costs; a longer text is cut into as many runs of words."
    )


Sequence = Annotated[list[str], FirstFault(), Field(min_length=1, max_length=2)]


class TeiBody(BaseModel):
    """What clients of text-embeddings-inference send to `/predict`; other fields are passed over, as they are there."""

    model_config = ConfigDict(strict=True, json_schema_extra={"examples": [{"inputs": EXAMPLE}]})

    inputs: str | Sequence | Annotated[list[Sequence], FirstFault(), Field(min_length=1, max_length=MAX_TEXTS)] = Field(
        description="A text; a pair `[a, b]`; or a batch of texts and pairs `[[a], [b, c]]`."
    )
    raw_scores: bool = Field(False, description="Give logits instead of probabilities.")
    truncate: bool | None = Field(None, description="False refuses a text that is too long. Default: it is cut.")

    @property
    def batch(self) -> bool:
        """Whether the answer is a list of answers."""
        return isinstance(self.inputs, list) and isinstance(self.inputs[0], list)

    def question(self) -> Question:
        """Give the texts as the service takes them.

        Returns:
            The question.

        Raises:
            RequestError: 422, texts and pairs are mixed.
        """
        given: list[list[str]] = self.inputs if self.batch else [_listed(self.inputs)]  # type: ignore[assignment, arg-type]
        if len({len(one) for one in given}) != 1:
            raise RequestError("inputs mixes texts and pairs: a model was trained on either. Send the same kind.",
                               status=422)  # fmt: skip
        return Question([one[0] for one in given], [one[1] for one in given] if len(given[0]) == 2 else None)


def explain_question(body: ExplainBody) -> tuple[tuple[Piece, ...], Question]:
    """Give what the model is asked to explain a text.

    Args:
        body: The text.

    Returns:
        The pieces that are left out; the whole text and the texts without each of them.

    Raises:
        RequestError: 422, the text cannot be classified.
    """
    for name, text in (("text", body.text), ("pair", body.pair)):
        if text is not None and (fault := text_fault(text)):
            raise RequestError(f"{name} {fault}.", status=422)
    pieces = pieces_of(body.text, body.pair, max_pieces=body.max_pieces)
    variants = list(leave_out(body.text, body.pair, pieces))
    pairs = None if body.pair is None else [second or "" for _, second in variants]
    return pieces, Question([text for text, _ in variants], pairs)


def _listed(given: str | list[str]) -> list[str]:
    return [given] if isinstance(given, str) else given


def parse(kind: type[Body], body: bytes) -> Body:
    """Read a JSON body.

    Args:
        kind: What it should be.
        body: The bytes.

    Returns:
        What it is.

    Raises:
        RequestError: 422; names fields and places of the schema, and nothing of the body.
    """
    if _n_containers(body) > MAX_CONTAINERS:
        raise RequestError(f"the body has more than {MAX_CONTAINERS:,} lists and objects.", status=422)
    try:
        # not model_validate_json: each of its errors would make Python objects of all of the body anew
        return kind.model_validate(from_json(body, cache_strings="none"))
    except ValueError as error:
        if not isinstance(error, ValidationError):  # of the parser: its words have a place and no content
            raise RequestError(f"the body is not JSON: {error}.", status=422) from None
        known = set(kind.model_fields) | {"inputs", "outputs", "shape", "datatype", "data", "name", "parameters"}
        faults = error.errors(include_url=False, include_context=False, include_input=False)
        raise RequestError(_told(faults, known), status=422) from None


def _n_containers(body: bytes) -> int:
    """Lists and objects in a body; a million of them in a few megabytes would hold up everybody while they are made."""
    n = body.count(b"[") + body.count(b"{")
    if n <= MAX_CONTAINERS:
        return n
    # every second piece between quotes is a string, and may hold brackets
    outside = b"".join(body.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')[::2])
    return outside.count(b"[") + outside.count(b"{")


def _told(faults: list[Any], known: set[str]) -> str:
    told = []
    for fault in faults[:5]:
        where = ".".join(str(part) for part in fault["loc"] if isinstance(part, int) or part in known)
        if fault["type"] == "extra_forbidden":
            told.append("there is a field that this request has not")
        else:
            told.append(f"{where or 'body'}: {fault['msg']}")
    fields = ", ".join(sorted(known)) if any(fault["type"] == "extra_forbidden" for fault in faults) else ""
    return "; ".join(dict.fromkeys(told)) + (f" (it has {fields})." if fields else ".")


async def read_body(
    receive: Receive, *, check: Callable[[int], None], hold: Callable[[int], None], timeout_s: float
) -> bytes:
    """Read a body.

    Args:
        receive: Gives its pieces, as ASGI says.
        check: Raises if so many bytes are too many.
        hold: Told of every piece's bytes.
        timeout_s: Within which all of it has to come.

    Returns:
        The bytes.

    Raises:
        RequestError: 413 too large, 408 too slow, 499 the caller has gone.
    """
    pieces: list[bytes] = []
    total = 0

    async def read() -> None:
        nonlocal total
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise RequestError("the caller has gone.", status=499, error_type="Gone")
            piece = message.get("body", b"")
            total += len(piece)
            check(total)
            hold(len(piece))
            pieces.append(piece)
            more = message.get("more_body", False)

    try:
        await asyncio.wait_for(read(), timeout_s)
    except asyncio.TimeoutError:
        raise RequestError(f"the body did not come within {timeout_s:g} s.", status=408, error_type="Timeout") from None
    return b"".join(pieces)
