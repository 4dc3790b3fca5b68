"""The route of the encoders that `encoder.py` does not build: PyTorch's own graph of the model, traced once.

Padding stays in such a graph. Its linear layers can be INT8 (`traced_int8.py`), and it meets the same gates.
"""

import contextlib
import io
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import torch

from medclf.errors import ExportError
from medclf_export.checkpoint_model import CheckpointModel
from medclf_export.graph import OPSET
from medclf_export.model import Model
from medclf_export.signature import Signature
from medclf_export.traced_int8 import linears, rebuild

# Neither axis is 1: PyTorch broadcasts those, and the trace would keep it for every shape. Two rows are padded.
SAMPLE_LENGTHS = (7, 5, 3)


@dataclass(frozen=True)
class Traced:
    """The route of every architecture that PyTorch can trace.

    Attributes:
        signature: What the graphs take and give.
        graph: The traced graph, fp32, with the temperature in it.
    """

    signature: Signature
    graph: onnx.GraphProto

    @classmethod
    def from_model(cls, model: CheckpointModel, *, n_labels: int, where: str, temperature: float = 1.0) -> "Traced":
        """Trace a model.

        Args:
            model: The checkpoint in PyTorch.
            n_labels: Number of labels.
            where: Path of its configuration, for messages.
            temperature: Divisor of the logits.

        Returns:
            The route.

        Raises:
            ExportError: The architecture cannot be traced, or has no limit of tokens.
        """
        signature = signature_of(model, n_labels=n_labels, where=where)
        return cls(signature, _trace(_Logits(model.module, signature.inputs, temperature), signature, where))

    @property
    def linears(self) -> tuple[str, ...]:
        """Names of the linear layers that can be INT8; none where the model has no linear layers that ONNX shows."""
        return tuple(linears(self.graph))

    def build(self, metadata: Mapping[str, str], *, int8: Set[str] = frozenset(), half: bool = False) -> Model:
        """Write one graph.

        Args:
            metadata: The `metadata_props`.
            int8: Which of `linears` are INT8.
            half: fp16, which this route does not make.

        Returns:
            The model.

        Raises:
            ExportError: fp16 was asked for.
        """
        if half:
            raise ExportError("fp16: a traced graph cannot be written in it yet. Export without --precision fp16.")
        return rebuild(self.graph, int8).model(self.signature, metadata)


def signature_of(model: CheckpointModel, *, n_labels: int, where: str) -> Signature:
    """Read off a model of any architecture what its graph takes and gives.

    Args:
        model: The checkpoint in PyTorch.
        n_labels: Number of labels.
        where: Path of its configuration, for messages.

    Returns:
        The signature.

    Raises:
        ExportError: The architecture has no limit of tokens.
    """
    config: Any = model.module.config
    return Signature(
        inputs=model.inputs,
        n_labels=n_labels,
        vocabulary_size=_size(config, "vocab_size", where),
        n_positions=_n_positions(model.module, where),
        n_types=int(config.type_vocab_size) if "token_type_ids" in model.inputs else 1,
    )


class _Logits(torch.nn.Module):
    """A classifier that takes its inputs in order and gives calibrated logits alone."""

    def __init__(self, model: Any, inputs: tuple[str, ...], temperature: float) -> None:
        super().__init__()
        self.model = model
        self.model_type: str = model.config.model_type
        self._inputs = inputs
        self._temperature = temperature

    def forward(self, *values: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.model(**dict(zip(self._inputs, values, strict=True)), return_dict=True).logits
        return logits / self._temperature


def _n_positions(module: torch.nn.Module, where: str) -> int:
    """Most tokens of a text; RoBERTa and its like begin to count after the number of the padding token."""
    tables = [part for name, part in module.named_modules() if name.endswith("position_embeddings")]
    unused = [part.padding_idx + 1 for part in tables if getattr(part, "padding_idx", None) is not None]
    return _size(module.config, "max_position_embeddings", where) - max(unused, default=0)


def _size(config: Any, key: str, where: str) -> int:
    size = getattr(config, key, None)
    if not isinstance(size, int) or size < 1:
        raise ExportError(
            f"{where}: {key} is {size!r}, expected a number. Without it an export of model_type {config.model_type} "
            "cannot be proven."
        )
    return size


def _trace(module: _Logits, signature: Signature, where: str) -> onnx.GraphProto:
    axes = {name: {0: "batch", 1: "sequence"} for name in signature.inputs} | {"logits": {0: "batch"}}
    try:
        with tempfile.TemporaryDirectory() as folder, _silence(), torch.no_grad():
            path = str(Path(folder, "model.onnx"))
            torch.onnx.export(
                module.eval(),  # else the exporter leaves its parts, the reference of the gates, with dropout
                tuple(_sample(signature)[name] for name in signature.inputs),
                path,
                dynamo=False,  # the other exporter needs onnxscript
                opset_version=OPSET,
                input_names=list(signature.inputs),
                output_names=["logits"],
                dynamic_axes=axes,
            )
            return onnx.load(path).graph
    except Exception as error:  # whatever the code of any model raises
        reason = str(error).partition("\n")[0][:200]
        raise ExportError(
            f"{where}: PyTorch cannot trace model_type {module.model_type} "
            f"({type(error).__name__}: {reason}). This architecture cannot be exported."
        ) from error


def _sample(signature: Signature) -> dict[str, torch.Tensor]:
    lengths = torch.tensor(SAMPLE_LENGTHS)[:, None]
    columns = torch.arange(max(SAMPLE_LENGTHS))[None]
    ids = (3 + columns + lengths) % signature.vocabulary_size
    return {
        "input_ids": ids,
        "attention_mask": (columns < lengths).long(),
        "token_type_ids": columns.expand_as(ids) * 0,
    }


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Hold back warnings and talk; on failure the exporter prints the whole graph from C++, past `sys.stdout`."""
    sys.stdout.flush()
    stdout, talk = os.dup(1), io.StringIO()
    try:
        with Path(os.devnull).open("w") as nowhere, warnings.catch_warnings():
            os.dup2(nowhere.fileno(), 1)
            warnings.simplefilter("ignore")
            with contextlib.redirect_stdout(talk), contextlib.redirect_stderr(talk):
                yield
    finally:
        os.dup2(stdout, 1)
        os.close(stdout)
