"""The graph of an encoder classifier without padding, built from its weights.

Takes the weights of one of the architectures of `families.py`, gives an ONNX model with the standard signature. Besides
the packing (`packing.py`): Q, K and V are one product; the last layer is computed for [CLS] alone; position and
token-type embeddings are one table; the softmax temperature is folded into the head. Add and LayerNormalization stay
apart on 2-D rows, as ONNX Runtime's SkipLayerNormalization is several times slower on CPU.
"""

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass

from onnx import TensorProto

from medclf_export.attention import Attention
from medclf_export.families import ACTIVATIONS, EncoderConfig, Weights
from medclf_export.graph import Graph
from medclf_export.linear import (
    AFTER_GELU,
    AFTER_RELU,
    SYMMETRIC,
    Linear,
    Range,
    Rows,
    linear,
    quantize_embeddings,
    quantize_rows,
    zero_points,
)
from medclf_export.model import Array, Model
from medclf_export.packing import add_packing
from medclf_export.signature import Signature

AFTER = {"Gelu": AFTER_GELU, "Relu": AFTER_RELU}  # operator -> how its output is quantized
KINDS = ("attention_in", "attention_out", "feed_forward_in", "feed_forward_out")


def linear_names(config: EncoderConfig) -> tuple[str, ...]:
    """Name the linear layers that can be INT8, four a layer: `layer_0.attention_in` (Q, K and V) and so on.

    Args:
        config: The shape of the graph.

    Returns:
        The names, in the order in which they run.
    """
    return tuple(f"layer_{index}.{kind}" for index in range(config.n_layers) for kind in KINDS)


class EncoderGraph:
    """Builds one graph of one precision."""

    def __init__(
        self, config: EncoderConfig, weights: Weights, *, int8: Set[str] = frozenset(), temperature: float = 1.0
    ) -> None:
        """Prepare the graph.

        Args:
            config: Its shape.
            weights: Its weights.
            int8: Which of `linear_names` are INT8; attention and head never are.
            temperature: Divisor of the logits.
        """
        self._config = config
        self._weights = weights
        self._int8 = int8
        self._temperature = temperature
        self._graph = Graph()
        self._packing = add_packing(self._graph, config.n_heads, half=weights.half)
        self._attention = Attention(
            self._graph, self._packing, n_heads=config.n_heads, hidden_size=config.hidden_size, flash=bool(int8)
        )

    def build(self, metadata: Mapping[str, str]) -> Model:
        """Write the whole graph.

        Args:
            metadata: The `metadata_props`.

        Returns:
            The model.
        """
        hidden = self._embeddings()
        for index in range(self._config.n_layers - 1):
            hidden = self._layer(f"layer_{index}", hidden)
        self._head(self._last_layer(f"layer_{self._config.n_layers - 1}", hidden))
        return self._graph.model(self._config.signature, metadata)

    def _embeddings(self) -> str:
        """[batch, sequence] -> [tokens, hidden]."""
        graph, weights = self._graph, self._weights
        ids = graph.add("GatherND", ["input_ids", self._packing.places], "ids")
        parts = [self._words(weights["embeddings.word_embeddings.weight"], ids), self._position_types()]
        embedded = self._layer_norm(graph.add("Add", parts, "embeddings"), "embeddings.LayerNorm", "embedded")
        if "embeddings_project.weight" not in weights:
            return embedded
        return linear(graph, Rows(embedded), weights.linear("embeddings_project"), "projected")

    def _words(self, table: Array, ids: str) -> str:
        """Look words up; an INT8 graph keeps the table, the largest of its weights, in 8 bits with a scale a word."""
        graph = self._graph
        if not self._int8:
            return graph.add("Gather", [graph.constant("word_embeddings", table), ids], "words")
        rounded, scales = quantize_embeddings(table)
        words = graph.add("Gather", [graph.constant("word_embeddings", rounded), ids], "words_int8")
        scale = graph.add("Gather", [graph.constant("word_scales", scales), ids], "word_scale")
        return graph.add("DequantizeLinear", [words, scale], "words", axis=0)

    def _position_types(self) -> str:
        graph, weights = self._graph, self._weights
        positions = weights["embeddings.position_embeddings.weight"]
        types_name = "embeddings.token_type_embeddings.weight"
        types = weights[types_name] if types_name in weights else 0 * positions[:1]
        # One table [position, type, hidden]; GatherND refuses a position or a type that the model does not have.
        types = types[: self._config.signature.n_types]
        table = graph.constant("position_type_embeddings", positions[:, None] + types[None])
        columns = [self._positions(), self._type_ids()]
        columns = [graph.add("Unsqueeze", [name, graph.int64(1)], f"{name}_2d") for name in columns]
        index = graph.add("Concat", columns, "position_type", axis=1)
        return graph.add("GatherND", [table, index], "position_types")

    def _positions(self) -> str:
        graph, pad_id = self._graph, self._config.pad_id
        if pad_id is None:
            return self._packing.columns
        pad = graph.add("Equal", ["input_ids", graph.scalar(pad_id)], "is_pad")
        counted = graph.add("Cast", [graph.add("Not", [pad], "is_not_pad")], "counted", to=TensorProto.INT64)
        number = graph.add("Mul", [graph.add("CumSum", [counted, graph.scalar(1)], "number"), counted], "number_or_0")
        places = graph.add("GatherND", [number, self._packing.places], "numbers")
        return graph.add("Add", [places, graph.scalar(pad_id)], "positions")

    def _type_ids(self) -> str:
        if "token_type_ids" in self._config.signature.inputs:
            return self._graph.add("GatherND", ["token_type_ids", self._packing.places], "type_ids")
        return self._graph.add("Mul", [self._packing.columns, self._graph.scalar(0)], "type_ids")

    def _layer(self, name: str, hidden: str) -> str:
        """[tokens, hidden] -> [tokens, hidden]."""
        rows = self._rows(hidden, self._packing.tokens, f"{name}.attention_in")
        query, key, value = self._attention_inputs(name, rows, ("query", "key", "value"))
        context = self._attention.of_all(query, key, value, f"{name}_context")
        flat = self._graph.add("Reshape", [context, self._graph.int64(-1, self._config.hidden_size)], f"{name}_flat")
        packed = self._graph.add("Gather", [flat, self._packing.tokens], f"{name}_packed")
        return self._after_attention(name, packed, hidden, self._packing.tokens)

    def _last_layer(self, name: str, hidden: str) -> str:
        """[tokens, hidden] -> [batch, hidden]: every token is a key and a value, only [CLS] asks."""
        graph, linear_name = self._graph, f"{name}.attention_in"
        key, value = self._attention_inputs(
            name, self._rows(hidden, self._packing.tokens, linear_name), ("key", "value")
        )
        first = graph.add("Gather", [hidden, self._packing.starts], f"{hidden}_first")
        rows = self._rows(first, self._packing.starts, linear_name)
        query = linear(graph, rows, self._weights.linear(f"{_prefix(name)}.attention.self.query"), f"{name}_query_2d")
        query = graph.add("Unsqueeze", [query, graph.int64(1)], f"{name}_query_3d")
        # It asks twice: for a single query ONNX Runtime takes a product whose sums depend on the padding.
        query = graph.add("Concat", [query, query], f"{name}_query", axis=1)  # [batch, 2, hidden]
        context = self._attention.of_two(query, key, value, f"{name}_contexts")
        context = graph.add("Gather", [context, graph.scalar(0)], f"{name}_context", axis=1)
        return self._after_attention(name, context, first, self._packing.starts)

    def _attention_inputs(self, name: str, rows: Rows, parts: tuple[str, ...]) -> list[str]:
        """One product for all parts, each then [batch, longest, hidden]."""
        prefix = f"{_prefix(name)}.attention.self"
        layer = Linear.stacked(*(self._weights.linear(f"{prefix}.{part}") for part in parts))
        joined = linear(self._graph, rows, layer, f"{name}_{'_'.join(parts)}")
        return self._attention.spread(joined, name, parts)

    def _after_attention(self, name: str, context: str, residual: str, like: str) -> str:
        """The output of attention and the feed-forward, each with its residual and LayerNorm."""
        graph, weights, prefix = self._graph, self._weights, _prefix(name)
        rows = self._rows(context, like, f"{name}.attention_out")
        attended = self._add_residual(rows, f"{prefix}.attention.output.dense", residual, f"{name}_attended")
        middle = self._layer_norm(attended, f"{prefix}.attention.output.LayerNorm", f"{name}_middle")
        rows = self._rows(middle, like, f"{name}.feed_forward_in")
        wide = linear(graph, rows, weights.linear(f"{prefix}.intermediate.dense"), f"{name}_wide")
        op, attributes = ACTIVATIONS[self._config.activation]
        active = graph.add(op, [wide], f"{name}_active", **attributes)
        rows = self._rows(active, like, f"{name}.feed_forward_out", AFTER[op])
        fed = self._add_residual(rows, f"{prefix}.output.dense", middle, f"{name}_fed")
        return self._layer_norm(fed, f"{prefix}.output.LayerNorm", f"{name}_output")

    def _add_residual(self, rows: Rows, prefix: str, residual: str, output: str) -> str:
        product = linear(self._graph, rows, self._weights.linear(prefix), f"{output}_linear")
        return self._graph.add("Add", [product, residual], output)

    def _head(self, first: str) -> None:
        graph = self._graph
        if self._weights.half:
            first = graph.add("Cast", [first], "first_fp32", to=TensorProto.FLOAT)
        dense = linear(graph, Rows(first), self._weights.linear("head"), "head_linear")
        classifier = self._weights.linear("classifier")
        scaled = Linear(classifier.weight / self._temperature, classifier.bias / self._temperature)
        linear(graph, Rows(graph.add(self._config.head, [dense], "head")), scaled, "logits")

    def _rows(self, value: str, like: str, linear_name: str, range_: Range = SYMMETRIC) -> Rows:
        """A value with one row for each entry of `like`, quantized where the layer that reads it is INT8."""
        if linear_name not in self._int8:
            return Rows(value)
        return quantize_rows(self._graph, value, zero_points(self._graph, like, range_.zero), range_)

    def _layer_norm(self, value: str, prefix: str, output: str) -> str:
        weight = self._graph.constant(f"{output}_gamma", self._weights[f"{prefix}.weight"])
        bias = self._graph.constant(f"{output}_beta", self._weights[f"{prefix}.bias"])
        inputs = [value, weight, bias]
        return self._graph.add("LayerNormalization", inputs, output, axis=-1, epsilon=self._config.epsilon)


def _prefix(name: str) -> str:
    """`layer_3` -> `encoder.layer.3`."""
    return f"encoder.layer.{name.removeprefix('layer_')}"


@dataclass(frozen=True)
class Built:
    """The route of the architectures in `FAMILIES`: our own graph, without padding.

    Attributes:
        config: The shape of the graph.
        model_type: Key of `FAMILIES`.
        state: Gives the weights, by PyTorch's names.
        temperature: Divisor of the logits.
    """

    config: EncoderConfig
    model_type: str
    state: Callable[[], Mapping[str, Array]]
    temperature: float = 1.0

    @property
    def signature(self) -> Signature:
        """What the graph takes and gives."""
        return self.config.signature

    @property
    def linears(self) -> tuple[str, ...]:
        """Names of the linear layers that can be INT8."""
        return linear_names(self.config)

    def build(self, metadata: Mapping[str, str], *, int8: Set[str] = frozenset(), half: bool = False) -> Model:
        """Write one graph.

        Args:
            metadata: The `metadata_props`.
            int8: Which of `linears` are INT8.
            half: Whether everything but the head is fp16.

        Returns:
            The model.
        """
        weights = Weights(self.state(), self.model_type, half=half)
        return EncoderGraph(self.config, weights, int8=int8, temperature=self.temperature).build(metadata)
