"""The index arithmetic that removes padding inside the graph.

Tokens live in two layouts. *Packed*, `[tokens, ...]`: the real tokens of all texts one after the other; embeddings,
linear layers, LayerNorm and GELU run here and never see padding. *Padded*, `[batch, longest, ...]`: for attention
alone, as wide as the longest text of the batch however wide the caller padded.

Any mask is right: left padding, right padding, holes. The first column is always kept, as it is what BERT's pooler
reads; where the mask hides it, it still asks (as in PyTorch) and is no key for others. In the padded layout the places
after a text's end repeat its own last token, so that no text can see another one even where every key is hidden.
"""

from dataclasses import dataclass

import numpy as np
from onnx import TensorProto

from medclf_export.graph import Graph


@dataclass(frozen=True)
class Packing:
    """Names of the values that map one layout to the other.

    Attributes:
        places: int64 [tokens, 2]; row and column of each packed token in the inputs.
        columns: int64 [tokens]; the column alone, which is BERT's position.
        starts: int64 [batch]; the packed row of each text's first token.
        slots: int64 [batch, longest]; the packed row of each padded place.
        tokens: int64 [tokens]; the place of each packed row in the flattened padded layout.
        keys: int32 [batch, longest]; 1 where attention may look.
        key_bias_2d: float32 (float16 in fp16) [batch, longest]; 0 where attention may look, else -10,000.
        key_bias: float32 (float16 in fp16) [batch, heads, 2, longest]; the same, for attention with two queries a text:
            with fewer queries than keys, ONNX Runtime before 1.21 ignores `keys` (seen with 1.19.2 and
            1.20.1).
    """

    places: str
    columns: str
    starts: str
    slots: str
    tokens: str
    keys: str
    key_bias_2d: str
    key_bias: str


def add_packing(graph: Graph, n_heads: int, *, half: bool = False) -> Packing:
    """Add the nodes that compute the maps from `attention_mask`, once a run.

    Args:
        graph: Where to add them.
        n_heads: Attention heads a layer.
        half: Whether attention runs in fp16.

    Returns:
        The names of the maps.
    """
    zero, one = graph.scalar(0), graph.scalar(1)
    mask = graph.add("Cast", ["attention_mask"], "mask", to=TensorProto.BOOL)
    width = graph.add("Squeeze", [graph.add("Shape", ["attention_mask"], "width_1d", start=1)], "width")
    column = graph.add("Range", [zero, width, one], "column")
    kept = graph.add("Or", [mask, graph.add("Equal", [column, zero], "first")], "kept")
    places = graph.add("Transpose", [graph.add("NonZero", [kept], "places_2d")], "places", perm=[1, 0])
    columns = graph.add("Gather", ["places_2d", one], "columns", axis=0)

    counts = graph.add("Cast", [kept], "counts", to=TensorProto.INT64)
    lengths = graph.add("ReduceSum", [counts, graph.int64(1)], "lengths", keepdims=1)  # [batch, 1]
    ends = graph.add("CumSum", [lengths, zero], "ends")
    starts_2d = graph.add("Sub", [ends, lengths], "starts_2d")
    longest = graph.add("ReduceMax", [lengths], "longest", keepdims=0)
    place = graph.add("Range", [zero, longest, one], "place")
    last = graph.add("Sub", [lengths, one], "last")
    slots = graph.add("Add", [starts_2d, graph.add("Min", [place, last], "own_place")], "slots")

    inside = graph.add("Less", [place, lengths], "inside")
    flat = graph.add("NonZero", [graph.add("Reshape", [inside, graph.int64(-1)], "inside_flat")], "tokens_2d")
    visible = graph.add("Gather", [graph.add("GatherND", [mask, places], "visible"), slots], "visible_padded")
    keys = graph.add("And", [inside, visible], "keys_bool")
    dtype = np.float16 if half else np.float32
    nothing, hidden = (graph.constant(f"bias_{name}", dtype(value)) for name, value in (("0", 0), ("low", -1e4)))
    bias_2d = graph.add("Where", [keys, nothing, hidden], "key_bias_2d")
    bias = graph.add("Unsqueeze", [bias_2d, graph.int64(1, 2)], "key_bias_4d")
    return Packing(
        places=places,
        columns=columns,
        starts=graph.add("Reshape", [starts_2d, graph.int64(-1)], "starts"),
        slots=slots,
        tokens=graph.add("Reshape", [flat, graph.int64(-1)], "tokens"),
        keys=graph.add("Cast", [keys], "keys", to=TensorProto.INT32),
        key_bias_2d=bias_2d,
        key_bias=graph.add("Expand", [bias, graph.int64(1, n_heads, 2, 1)], "key_bias"),
    )
