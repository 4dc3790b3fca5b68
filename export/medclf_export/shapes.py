"""Whether a graph can be replayed at fixed shapes: a CUDA graph keeps the shapes that it was captured with.

Goes by the standard operators, and errs on the side of no: a replay of shapes that are not those of the batch would
give a wrong answer without a word.
"""

import onnx
from onnx import AttributeProto

SIZED_BY_DATA = {"NonZero", "Compress", "Unique", "NonMaxSuppression", "HannWindow", "HammingWindow", "BlackmanWindow"}
# Inputs whose values are sizes, places or repeats, and so decide the shape of the output
SIZES = {
    "CenterCropPad": (1,),
    "ConstantOfShape": (0,),
    "Expand": (1,),
    "OneHot": (1,),
    "Pad": (1, 3),
    "Range": (0, 1, 2),
    "ReduceL1": (1,),
    "ReduceL2": (1,),
    "ReduceMax": (1,),
    "ReduceMean": (1,),
    "ReduceMin": (1,),
    "ReduceSum": (1,),
    "Reshape": (1,),
    "Resize": (2, 3),
    "Slice": (1, 2, 3, 4),
    "Split": (1,),
    "Squeeze": (1,),
    "Tile": (1,),
    "TopK": (1,),
    "Unsqueeze": (1,),
    "Upsample": (1,),
}


def static_shapes(graph: onnx.GraphProto) -> bool:
    """Say whether every shape in a graph follows from the shapes of its inputs.

    Args:
        graph: Nodes in the order of their use, as ONNX demands.

    Returns:
        False where an operator gives as much as it finds, where a size is computed from token ids or the mask, where
        the graph has branches, loops or sequences, and where an operator is none of ONNX's own.
    """
    of_texts = {value.name for value in graph.input}  # computed from the values of the inputs, not from their shapes
    for node in graph.node:
        if node.domain or node.op_type in SIZED_BY_DATA or "Sequence" in node.op_type:
            return False
        if any(attribute.type == AttributeProto.GRAPH for attribute in node.attribute):  # If, Loop, Scan
            return False
        sizes = [node.input[place] for place in SIZES.get(node.op_type, ()) if place < len(node.input)]
        if not of_texts.isdisjoint(sizes):
            return False
        if node.op_type not in ("Shape", "Size") and not of_texts.isdisjoint(node.input):
            of_texts.update(node.output)
    return True
