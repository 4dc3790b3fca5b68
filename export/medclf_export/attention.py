"""Attention of the graph: its parts are moved from the packed to the padded layout, and told where they may look.

A mask keeps ONNX Runtime's CPU kernel from flash attention (Dao et al. 2022). So where a graph is for CPUs alone, the
mask is one more column of every head: 1 in the queries, in the keys 0 where attention may look and a large negative
number where not, which adds nothing to a score or makes its softmax 0. On CUDA, kernels for keys that are wider than
values are slower ones, or none: other graphs have the mask.
"""

from collections.abc import Sequence

import numpy as np

from medclf_export.graph import ORT_DOMAIN, Graph
from medclf_export.packing import Packing


class Attention:
    """Adds the attention of every layer to one graph."""

    def __init__(self, graph: Graph, packing: Packing, *, n_heads: int, hidden_size: int, flash: bool) -> None:
        """Prepare it.

        Args:
            graph: Where to add the nodes.
            packing: The maps between the layouts.
            n_heads: Heads a layer.
            hidden_size: Width of all heads together.
            flash: Whether the mask is a column of the heads.
        """
        self._graph = graph
        self._packing = packing
        self._n_heads = n_heads
        self._hidden_size = hidden_size
        self._flash = flash

    def spread(self, joined: str, name: str, parts: Sequence[str]) -> list[str]:
        """Move parts that lie side by side to the padded layout.

        Args:
            joined: float32 [tokens, parts * hidden].
            name: Of the layer.
            parts: Name of each part.

        Returns:
            Names of the parts, float32 [batch, longest, hidden].
        """
        # Seen as [tokens * parts, hidden], part p of token t is row t * parts + p: each part is moved in one copy.
        rows = self._graph.add("Reshape", [joined, self._graph.int64(-1, self._hidden_size)], f"{joined}_rows")
        return [
            self._graph.add("Gather", [rows, self._slots(len(parts), offset)], f"{name}_{part}")
            for offset, part in enumerate(parts)
        ]

    def of_all(self, query: str, key: str, value: str, output: str) -> str:
        """Let every token look at its text.

        Args:
            query: float32 [batch, longest, hidden], like the others.
            key: The keys.
            value: The values.
            output: Name of the result.

        Returns:
            Name of the result, float32 [batch, longest, hidden].
        """
        if not self._flash:
            return self._heads([query, key, value, "", self._packing.keys], output)
        query, key = self._with_column(query, self._ones()), self._with_column(key, self._hidden())
        # ONNX Runtime would divide by the root of the wider heads.
        scale = (self._hidden_size // self._n_heads) ** -0.5
        return self._heads([query, key, value], output, scale=scale)

    def of_two(self, query: str, key: str, value: str, output: str) -> str:
        """Let two queries a text look at it.

        Args:
            query: float32 [batch, 2, hidden].
            key: The keys, float32 [batch, longest, hidden].
            value: The values, likewise.
            output: Name of the result.

        Returns:
            Name of the result, float32 [batch, 2, hidden].
        """
        return self._heads([query, key, value, "", "", self._packing.key_bias], output)

    def _heads(self, inputs: list[str], output: str, **attributes: float) -> str:
        add = self._graph.add
        return add("MultiHeadAttention", inputs, output, domain=ORT_DOMAIN, num_heads=self._n_heads, **attributes)

    def _slots(self, n_parts: int, offset: int) -> str:
        graph, name = self._graph, f"slots_{n_parts}_{offset}"
        if graph.has(name):
            return name
        scaled = graph.add("Mul", [self._packing.slots, graph.scalar(n_parts)], f"{name}_scaled")
        return graph.add("Add", [scaled, graph.scalar(offset)], name)

    def _with_column(self, value: str, column: str) -> str:
        """[batch, longest, hidden] -> [batch, longest, heads * (width + 1)]."""
        graph = self._graph
        split = graph.add("Reshape", [value, graph.int64(0, 0, self._n_heads, -1)], f"{value}_heads")
        wider = graph.add("Concat", [split, column], f"{value}_wider", axis=3)
        return graph.add("Reshape", [wider, graph.int64(0, 0, -1)], f"{value}_masked")

    def _ones(self) -> str:
        """[batch, longest, heads, 1]."""
        graph, output = self._graph, "query_column"
        if graph.has(output):
            return output
        sizes = [graph.add("Shape", [self._packing.keys], "keys_shape"), graph.int64(self._n_heads, 1)]
        shape = graph.add("Concat", sizes, f"{output}_shape", axis=0)
        return graph.add("Expand", [graph.constant("one_float", np.float32(1)), shape], output)

    def _hidden(self) -> str:
        """[batch, longest, heads, 1]; 0 where attention may look."""
        graph, output = self._graph, "key_column"
        if graph.has(output):
            return output
        column = graph.add("Unsqueeze", [self._packing.key_bias_2d, graph.int64(2, 3)], f"{output}_4d")
        return graph.add("Expand", [column, graph.int64(1, 1, self._n_heads, 1)], output)
