"""Ways to make the graphs of a checkpoint: built from its weights, traced by PyTorch, or exported by Optimum."""

from collections.abc import Mapping, Set
from typing import Literal, Protocol

import transformers
from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES

from medclf.errors import ExportError
from medclf.train.checkpoint import Checkpoint
from medclf_export.checkpoint_model import CheckpointModel
from medclf_export.encoder import Built
from medclf_export.families import FAMILIES, EncoderConfig
from medclf_export.model import Model
from medclf_export.optimum import Optimum
from medclf_export.signature import Signature
from medclf_export.traced import Traced

Backend = Literal["medclf", "traced", "optimum"]


class Route(Protocol):
    """Makes graphs of one checkpoint; all of them meet the same gates."""

    @property
    def signature(self) -> Signature:
        """What the graphs take and give."""

    @property
    def linears(self) -> tuple[str, ...]:
        """Names of the linear layers that can be INT8."""

    def build(self, metadata: Mapping[str, str], *, int8: Set[str] = frozenset(), half: bool = False) -> Model:
        """Make one graph; fp32 unless something else is asked for.

        Args:
            metadata: The `metadata_props`.
            int8: Which of `linears` are INT8.
            half: Whether everything but the head is fp16.

        Returns:
            The model.

        Raises:
            ExportError: The route does not make such a graph.
        """


def find_route(
    checkpoint: Checkpoint, model: CheckpointModel, *, temperature: float = 1.0, backend: Backend = "medclf"
) -> Route:
    """Choose how a checkpoint is exported; the weights are loaded where they must be traced.

    Args:
        checkpoint: What to export.
        model: Its weights.
        temperature: Divisor of the logits.
        backend: Who makes the graphs; `traced`: PyTorch, also of an architecture that medclf builds.

    Returns:
        The route for its `model_type`.

    Raises:
        ExportError: There is none, or the checkpoint asks for what the route cannot do.
    """
    model_type, where = checkpoint.config.get("model_type"), str(checkpoint.folder / "config.json")
    if backend == "optimum":
        return Optimum(checkpoint, model, temperature)
    if model_type in FAMILIES and backend != "traced":
        config = EncoderConfig.from_config(checkpoint.config, n_labels=len(checkpoint.labels), where=where)
        return Built(config, model_type, lambda: model.state, temperature)
    if model_type not in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES:
        raise ExportError(
            f"{where}: model_type is {model_type!r}, expected an encoder that transformers {transformers.__version__} "
            "has as a sequence classifier, such as bert."
        )
    return Traced.from_model(model, n_labels=len(checkpoint.labels), where=where, temperature=temperature)
