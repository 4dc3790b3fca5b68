"""The gates of a graph: its signature, its parity with PyTorch, and the same answer alone and in any batch.

Each gate returns what it measured, for the manifest, or raises a GateError. They run the code that ships: the session
of `medclf.runtime`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto

from medclf.errors import BundleError, GateError
from medclf.labels import Floats
from medclf.runtime.session import Session
from medclf.tokenizer import Batch
from medclf_export.graph import IR_VERSION, OPSET
from medclf_export.shapes import static_shapes
from medclf_export.signature import Signature

# Of logits of size 1 (larger ones are allowed as much more), against PyTorch in fp32
PARITY_LIMIT = {"fp32": 1e-4, "fp16": 2e-2}
# A text alone against the same text in a batch, for logits of size 1; larger ones are allowed as much more, as it is
# float32's rounding that differs with the shape.
INVARIANCE_LIMIT = {"fp32": 1e-5, "int8": 1e-3, "fp16": 2e-2}
MANY_TOKENS = 512  # of each text in a batch: 12 heads over eight texts of ModernBERT's 8,192 tokens would take 25 GB


@dataclass(frozen=True)
class Shape:
    """Inputs that a gate tries.

    Attributes:
        name: What is special about them.
        lengths: Tokens of each text.
        width: Columns of the batch.
        side: Where the padding is: `right`, `left`, or `holes` for places hidden at random.
    """

    name: str
    lengths: tuple[int, ...]
    width: int
    side: str = "right"


def shapes(max_length: int) -> list[Shape]:
    """List the inputs that every graph is tried on.

    Args:
        max_length: Most tokens that the model takes.

    Returns:
        1x1, 1xmax, mixed and equal lengths, padding at either side and in between, and a batch of 64; several texts
        are `MANY_TOKENS` wide at most.
    """
    chance = np.random.default_rng(0)
    short = min(48, max_length)
    wide = min(MANY_TOKENS, max_length)
    mixed = tuple(int(n) for n in np.linspace(1, wide, 6))
    many = tuple(chance.integers(1, short + 1, 64).tolist())
    return [
        Shape("1 x 1", (1,), 1),
        Shape("1 x max", (max_length,), max_length),
        Shape("mixed lengths", mixed, wide),
        Shape("equal lengths", (short,) * 4, short),
        Shape("batch of 64", many, short),
        Shape("wider than the longest", many[:8], wide),
        Shape("padding on the left", many[:8], short, "left"),
        Shape("holes", many[:8], short, "holes"),
    ]


def batches(signature: Signature) -> Iterator[tuple[str, Batch]]:
    """Make the inputs of `shapes`: random tokens, each shape once with single texts and once with pairs.

    Args:
        signature: What the model takes.

    Yields:
        A name and a batch.
    """
    chance = np.random.default_rng(1)
    for shape in shapes(signature.n_positions):
        ids = chance.integers(0, signature.vocabulary_size, (len(shape.lengths), shape.width))
        mask = _mask(shape, chance)
        yield shape.name, Batch(ids, mask, np.zeros_like(ids))
        yield f"{shape.name}, pairs", Batch(ids, mask, chance.integers(0, signature.n_types, ids.shape))


def _mask(shape: Shape, chance: np.random.Generator) -> npt.NDArray[np.int64]:
    lengths, column = np.array(shape.lengths)[:, None], np.arange(shape.width)
    mask: npt.NDArray[np.int64] = (column < lengths).astype(np.int64)
    if shape.side == "left":
        mask = mask[:, ::-1].copy()
    if shape.side == "holes":
        mask *= chance.integers(0, 2, mask.shape)
        mask[:, 0] = 1
    return mask


def check_signature(path: Path, signature: Signature) -> dict[str, Any]:
    """Check names, dtypes, dynamic axes and versions.

    Args:
        path: The graph's file.
        signature: What it must take and give.

    Returns:
        The signature, whether shapes in the graph follow from those of its inputs alone, the versions of the file, and
        who made the graph.

    Raises:
        GateError: It is another one.
    """
    onnx.checker.check_model(str(path))
    model = onnx.load(path, load_external_data=False)
    inputs = {value.name: _type(value) for value in model.graph.input}
    outputs = {value.name: _type(value) for value in model.graph.output}
    wanted_inputs = {name: ("INT64", ["batch", "sequence"]) for name in signature.inputs}
    wanted_outputs = {"logits": ("FLOAT", ["batch", signature.n_labels])}
    if inputs != wanted_inputs or outputs != wanted_outputs:
        raise GateError(f"signature is {inputs} -> {outputs}, expected {wanted_inputs} -> {wanted_outputs}.")
    opset = max(entry.version for entry in model.opset_import if entry.domain == "")
    if model.ir_version > IR_VERSION or opset > OPSET:
        raise GateError(f"IR {model.ir_version}, opset {opset}: at most {IR_VERSION} and {OPSET} are allowed.")
    return {
        "inputs": list(inputs),
        "outputs": list(outputs),
        "dynamic_axes": ["batch", "sequence"],
        "static_shapes": static_shapes(model.graph),
        "opset": opset,
        "ir_version": model.ir_version,
        "producer": model.producer_name,
    }


def _type(value: onnx.ValueInfoProto) -> tuple[str, list[str | int]]:
    tensor = value.type.tensor_type
    axes: list[str | int] = [axis.dim_param or axis.dim_value for axis in tensor.shape.dim]
    return TensorProto.DataType.Name(tensor.elem_type), axes


def check_parity(
    session: Session, precision: str, inputs: Sequence[tuple[str, Batch]], references: Sequence[Floats]
) -> dict[str, Any]:
    """Compare a graph with PyTorch on every input.

    Args:
        session: The graph.
        precision: Key of `PARITY_LIMIT`.
        inputs: Named batches.
        references: PyTorch's logits of each, in fp32.

    Returns:
        The largest difference of a logit for each shape (divided by the logit's size where that is over 1), the limit,
        and the share of texts whose best label is the same.

    Raises:
        GateError: A difference is over the limit, a label differs in fp32, or the graph fails.
    """
    limit, differences, same = PARITY_LIMIT[precision], {}, []
    for (name, batch), reference in zip(inputs, references, strict=True):
        ours = _run(session, precision, name, batch)
        differences[name] = float((np.abs(ours - reference) / np.maximum(1, np.abs(reference))).max())
        same += (ours.argmax(-1) == reference.argmax(-1)).tolist()
    worst, n_flips = max(differences.values()), same.count(False)
    if not worst <= limit or (n_flips and precision == "fp32"):  # written so that NaN fails
        raise GateError(
            f"{precision} differs from PyTorch by up to {worst:.2e} of logits (at most {limit:.0e} is allowed) and in "
            f"{n_flips} of {len(same)} labels. Please report this checkpoint's architecture."
        )
    return {
        "limit": limit,
        "max_difference": worst,
        "label_agreement": 1 - n_flips / len(same),
        "n_texts": len(same),
        "shapes": differences,
    }


def _run(session: Session, precision: str, name: str, batch: Batch) -> Floats:
    try:
        return session.run(batch)
    except BundleError as error:
        raise GateError(
            f"{precision} fails on {name} ({batch.input_ids.shape[0]} x {batch.input_ids.shape[1]} tokens): the graph "
            "of this architecture does not hold for every shape."
        ) from error


def check_invariance(session: Session, precision: str, inputs: Sequence[tuple[str, Batch]]) -> dict[str, Any]:
    """Compare each text alone with the same text in its batch.

    Args:
        session: The graph.
        precision: Key of `INVARIANCE_LIMIT`.
        inputs: Named batches; those of one text, and of padding that is not on the right, are passed over.

    Returns:
        The largest difference of a logit (divided by the logit's size where that is over 1), and the limit.

    Raises:
        GateError: It is over the limit.
    """
    limit, worst, n_texts = INVARIANCE_LIMIT[precision], 0.0, 0
    for _, batch in inputs:
        lengths = batch.attention_mask.sum(axis=1)
        right = (np.arange(batch.input_ids.shape[1]) < lengths[:, None]) == batch.attention_mask
        if len(lengths) == 1 or not right.all():
            continue
        together = session.run(batch)
        alone = [session.run(_row(batch, row, int(length))) for row, length in enumerate(lengths)]
        difference = np.abs(np.concatenate(alone) - together) / np.maximum(1, np.abs(together))
        worst = max(worst, float(difference.max()))
        n_texts += len(lengths)
    if not worst <= limit:
        raise GateError(
            f"{precision}: a text alone and in a batch differ by {worst:.2e} of logits, at most {limit:.0e} is allowed."
        )
    return {"limit": limit, "max_difference": worst, "n_texts": n_texts}


def _row(batch: Batch, row: int, length: int) -> Batch:
    part = (slice(row, row + 1), slice(0, length))
    return Batch(batch.input_ids[part], batch.attention_mask[part], batch.token_type_ids[part])
