"""The graph of a BERT classifier without padding, built from its weights.

Takes the weights of a `BertForSequenceClassification`, gives an ONNX model with the standard signature. Besides the
packing (`medclf_export.packing`): Q, K and V are one product; the last layer is computed for [CLS] alone; position and
token-type embeddings are one table; the softmax temperature is folded into the head. Add and LayerNormalization stay
apart on 2-D rows, as ONNX Runtime's SkipLayerNormalization is several times slower on CPU.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx

from medclf.errors import ExportError
from medclf_export.graph import ORT_DOMAIN, Array, Graph
from medclf_export.linear import (
    AFTER_GELU,
    AFTER_RELU,
    SYMMETRIC,
    Linear,
    Range,
    Rows,
    linear,
    quantize_rows,
    zero_points,
)
from medclf_export.packing import Packing, add_packing


@dataclass(frozen=True)
class Activation:
    """An activation function of the graph.

    Attributes:
        op: The operator.
        range: How its output is quantized.
        attributes: Of the operator.
    """

    op: str
    range: Range
    attributes: Mapping[str, str] = field(default_factory=dict)


# Hugging Face's hidden_act
ACTIVATIONS = {
    "gelu": Activation("Gelu", AFTER_GELU),
    "gelu_new": Activation("Gelu", AFTER_GELU, {"approximate": "tanh"}),
    "gelu_pytorch_tanh": Activation("Gelu", AFTER_GELU, {"approximate": "tanh"}),
    "relu": Activation("Relu", AFTER_RELU),
}


@dataclass(frozen=True)
class BertConfig:
    """What of `config.json` shapes the graph.

    Attributes:
        n_layers: Number of encoder layers.
        n_heads: Attention heads a layer.
        hidden_size: Width of the residual stream.
        epsilon: Of LayerNorm.
        activation: Key of `ACTIVATIONS`.
        n_labels: Columns of the logits.
        vocabulary_size: Number of word embeddings.
        n_positions: Number of position embeddings: the most tokens of a text.
        n_types: Number of token-type embeddings.
    """

    n_layers: int
    n_heads: int
    hidden_size: int
    epsilon: float
    activation: str
    n_labels: int
    vocabulary_size: int
    n_positions: int
    n_types: int

    @classmethod
    def from_config(cls, config: Mapping[str, Any], *, n_labels: int, where: str) -> "BertConfig":
        """Read a `config.json` and refuse what this graph cannot express.

        Args:
            config: The parsed file.
            n_labels: Number of labels.
            where: Its path, for messages.

        Returns:
            The shape of the graph.

        Raises:
            ExportError: The checkpoint is of another architecture, or uses a feature that BERT classifiers do not have.
        """
        if config.get("model_type") != "bert":
            raise ExportError(
                f"{where}: model_type is {config.get('model_type')!r}, expected 'bert' (BERT, BioBERT, PubMedBERT, "
                "ClinicalBERT, SciBERT, MiniLM, ...). Other architectures cannot be exported yet."
            )
        unknown = {
            "hidden_act": config.get("hidden_act", "gelu") not in ACTIVATIONS,
            "position_embedding_type": config.get("position_embedding_type", "absolute") != "absolute",
            "is_decoder": bool(config.get("is_decoder", False)),
        }
        faults = [f"{key} = {config[key]!r}" for key, wrong in unknown.items() if wrong]
        if faults:
            raise ExportError(f"{where}: the export of BERT does not support {', '.join(faults)}.")
        try:
            return cls(
                n_layers=int(config["num_hidden_layers"]),
                n_heads=int(config["num_attention_heads"]),
                hidden_size=int(config["hidden_size"]),
                epsilon=float(config.get("layer_norm_eps", 1e-12)),
                activation=config.get("hidden_act", "gelu"),
                n_labels=n_labels,
                vocabulary_size=int(config["vocab_size"]),
                n_positions=int(config["max_position_embeddings"]),
                n_types=int(config.get("type_vocab_size", 2)),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ExportError(f"{where}: a field that shapes the model is missing or wrong: {error}.") from error


class Weights:
    """The state dict of the checkpoint, read by name."""

    def __init__(self, state: Mapping[str, Array]) -> None:
        """Take the weights.

        Args:
            state: Name -> float32 array, as PyTorch names and shapes them.
        """
        self._state = state

    def __getitem__(self, name: str) -> Array:
        try:
            return np.asarray(self._state[name], dtype=np.float32)
        except KeyError as error:
            raise ExportError(f"the checkpoint has no weight {name!r}: it is not a BERT classifier.") from error

    def linear(self, prefix: str) -> Linear:
        """Give the linear layer whose weight and bias begin with `prefix`."""
        return Linear(self[f"{prefix}.weight"], self[f"{prefix}.bias"])


class BertGraph:
    """Builds one graph of one precision."""

    def __init__(self, config: BertConfig, weights: Weights, *, int8: bool, temperature: float = 1.0) -> None:
        """Prepare the graph.

        Args:
            config: Its shape.
            weights: Its weights.
            int8: Whether the linear layers of the encoder are INT8; attention, embeddings and head never are.
            temperature: Divisor of the logits.
        """
        self._config = config
        self._weights = weights
        self._int8 = int8
        self._temperature = temperature
        self._graph = Graph()

    def build(self, metadata: Mapping[str, str]) -> onnx.ModelProto:
        """Write the whole graph.

        Args:
            metadata: The `metadata_props`.

        Returns:
            The model.
        """
        packing = add_packing(self._graph, self._config.n_heads)
        hidden = self._embeddings(packing)
        for index in range(self._config.n_layers - 1):
            hidden = self._layer(index, hidden, packing)
        self._head(self._last_layer(hidden, packing))
        return self._graph.model(self._config.n_labels, metadata)

    def _embeddings(self, packing: Packing) -> str:
        graph, prefix = self._graph, "bert.embeddings"
        words = graph.constant("word_embeddings", self._weights[f"{prefix}.word_embeddings.weight"])
        positions = self._weights[f"{prefix}.position_embeddings.weight"]
        types = self._weights[f"{prefix}.token_type_embeddings.weight"]
        # One table [position, type, hidden]; GatherND refuses a position or a type that the model does not have.
        table = graph.constant("position_type_embeddings", positions[:, None] + types[None])
        ids = graph.add("GatherND", ["input_ids", packing.places], "ids")
        type_ids = graph.add("GatherND", ["token_type_ids", packing.places], "type_ids")
        columns = [graph.add("Unsqueeze", [name, graph.int64(1)], f"{name}_2d") for name in (packing.columns, type_ids)]
        index = graph.add("Concat", columns, "position_type", axis=1)
        parts = [graph.add("Gather", [words, ids], "words"), graph.add("GatherND", [table, index], "position_types")]
        return self._layer_norm(graph.add("Add", parts, "embeddings"), f"{prefix}.LayerNorm", "hidden_0")

    def _layer(self, index: int, hidden: str, packing: Packing) -> str:
        """[tokens, hidden] -> [tokens, hidden]."""
        prefix, name = f"bert.encoder.layer.{index}", f"layer_{index}"
        query, key, value = self._attention_inputs(
            prefix, name, self._rows(hidden, packing.tokens), ("query", "key", "value"), packing
        )
        context = self._attention([query, key, value, "", packing.keys], f"{name}_context")
        packed = self._graph.add("Gather", [context, packing.tokens], f"{name}_packed")
        return self._feed_forward(prefix, name, self._rows(packed, packing.tokens), hidden, packing.tokens)

    def _last_layer(self, hidden: str, packing: Packing) -> str:
        """[tokens, hidden] -> [batch, hidden]: every token is a key and a value, only [CLS] asks."""
        graph, index = self._graph, self._config.n_layers - 1
        prefix, name = f"bert.encoder.layer.{index}", f"layer_{index}"
        rows = self._rows(hidden, packing.tokens)
        key, value = self._attention_inputs(prefix, name, rows, ("key", "value"), packing)
        first = self._rows(graph.add("Gather", [hidden, packing.starts], f"{hidden}_first"), packing.starts)
        query = linear(graph, first, self._weights.linear(f"{prefix}.attention.self.query"), f"{name}_query_2d")
        query = graph.add("Unsqueeze", [query, graph.int64(1)], f"{name}_query")  # [batch, 1, hidden]
        context = self._attention([query, key, value, "", "", packing.key_bias], f"{name}_context")
        return self._feed_forward(prefix, name, self._rows(context, packing.starts), first.value, packing.starts)

    def _attention_inputs(
        self, prefix: str, name: str, rows: Rows, parts: tuple[str, ...], packing: Packing
    ) -> list[str]:
        """One product for all parts, then each part moved to the padded layout, [batch, longest, hidden]."""
        graph = self._graph
        layer = Linear.stacked(*(self._weights.linear(f"{prefix}.attention.self.{part}") for part in parts))
        joined = linear(graph, rows, layer, f"{name}_{'_'.join(parts)}")  # [tokens, parts * hidden]
        # Seen as [tokens * parts, hidden], part p of token t is row t * parts + p: each part is moved in one copy.
        split = graph.add("Reshape", [joined, graph.int64(-1, self._config.hidden_size)], f"{joined}_rows")
        padded = []
        for offset, part in enumerate(parts):
            slots = self._part_slots(packing.slots, len(parts), offset)
            padded.append(graph.add("Gather", [split, slots], f"{name}_{part}"))
        return padded

    def _part_slots(self, slots: str, n_parts: int, offset: int) -> str:
        graph, name = self._graph, f"slots_{n_parts}_{offset}"
        if graph.has(name):
            return name
        scaled = graph.add("Mul", [slots, graph.scalar(n_parts)], f"{name}_scaled")
        return graph.add("Add", [scaled, graph.scalar(offset)], name)

    def _attention(self, inputs: list[str], output: str) -> str:
        """Attention of all heads, flattened to [batch * queries, hidden]."""
        graph, n_heads = self._graph, self._config.n_heads
        padded = graph.add("MultiHeadAttention", inputs, f"{output}_3d", domain=ORT_DOMAIN, num_heads=n_heads)
        return graph.add("Reshape", [padded, graph.int64(-1, self._config.hidden_size)], output)

    def _feed_forward(self, prefix: str, name: str, context: Rows, residual: str, like: str) -> str:
        graph, weights = self._graph, self._weights
        dense = weights.linear(f"{prefix}.attention.output.dense")
        attended = self._add_residual(context, dense, residual, f"{name}_attended")
        middle = self._layer_norm(attended, f"{prefix}.attention.output.LayerNorm", f"{name}_middle")
        wide = linear(graph, self._rows(middle, like), weights.linear(f"{prefix}.intermediate.dense"), f"{name}_wide")
        activation = ACTIVATIONS[self._config.activation]
        active = graph.add(activation.op, [wide], f"{name}_active", **activation.attributes)
        down = weights.linear(f"{prefix}.output.dense")
        fed = self._add_residual(self._rows(active, like, activation.range), down, middle, f"{name}_fed")
        return self._layer_norm(fed, f"{prefix}.output.LayerNorm", f"{name}_output")

    def _add_residual(self, rows: Rows, layer: Linear, residual: str, output: str) -> str:
        return self._graph.add("Add", [linear(self._graph, rows, layer, f"{output}_linear"), residual], output)

    def _head(self, first: str) -> None:
        graph = self._graph
        pooled = linear(graph, Rows(first), self._weights.linear("bert.pooler.dense"), "pooler")
        classifier = self._weights.linear("classifier")
        scaled = Linear(classifier.weight / self._temperature, classifier.bias / self._temperature)
        linear(graph, Rows(graph.add("Tanh", [pooled], "pooled")), scaled, "logits")

    def _rows(self, value: str, like: str, range_: Range = SYMMETRIC) -> Rows:
        """A value with one row for each entry of `like`, quantized where the graph is INT8."""
        if not self._int8:
            return Rows(value)
        return quantize_rows(self._graph, value, zero_points(self._graph, like, range_.zero), range_)

    def _layer_norm(self, value: str, prefix: str, output: str) -> str:
        weight = self._graph.constant(f"{output}_gamma", self._weights[f"{prefix}.weight"])
        bias = self._graph.constant(f"{output}_beta", self._weights[f"{prefix}.bias"])
        inputs = [value, weight, bias]
        return self._graph.add("LayerNormalization", inputs, output, axis=-1, epsilon=self._config.epsilon)
