"""Which graphs can be replayed at fixed shapes."""

from collections.abc import Sequence

import onnx
import pytest
from onnx import TensorProto, helper

from medclf_export.shapes import static_shapes

Node = tuple[str, Sequence[str], Sequence[str]]


def graph(*nodes: Node) -> onnx.GraphProto:
    inputs = [helper.make_tensor_value_info("ids", TensorProto.INT64, ["batch", "sequence"])]
    return helper.make_graph([helper.make_node(*node) for node in nodes], "graph", inputs, [])


@pytest.mark.parametrize(
    "nodes",
    [
        [("NonZero", ["ids"], ["places"])],
        [("HannWindow", ["ids"], ["window"])],
        [("SplitToSequence", ["ids"], ["parts"])],
        [("ReduceMax", ["ids"], ["longest"]), ("Range", ["zero", "longest", "one"], ["places"])],
        [("Cast", ["ids"], ["sizes"]), ("Add", ["sizes", "one"], ["more"]), ("Expand", ["weight", "more"], ["wide"])],
        [("Slice", ["weight", "zero", "ids"], ["part"])],
        [("Shape", ["ids"], ["shape"]), ("Add", ["shape", "ids"], ["both"]), ("Reshape", ["weight", "both"], ["x"])],
    ],
)
def test_shapes_that_depend_on_the_texts(nodes: list[Node]) -> None:
    assert not static_shapes(graph(*nodes))


@pytest.mark.parametrize("op", ["If", "Loop", "Scan"])
def test_branches_and_loops(op: str) -> None:
    body = {"body": graph()} if op != "If" else {"then_branch": graph(), "else_branch": graph()}
    assert not static_shapes(helper.make_graph([helper.make_node(op, ["ids"], ["x"], **body)], "graph", [], []))


def test_an_operator_of_somebody_else_is_not_known() -> None:
    assert not static_shapes(helper.make_graph([helper.make_node("Add", ["a"], ["b"], domain="mine")], "graph", [], []))


@pytest.mark.parametrize(
    "nodes",
    [
        [],
        [("Gather", ["table", "ids"], ["embedded"]), ("ReduceSum", ["embedded", "axes"], ["sum"])],
        [("Shape", ["ids"], ["shape"]), ("Expand", ["weight", "shape"], ["wide"])],
        [("Add", ["ids", "one"], ["sum"]), ("Shape", ["sum"], ["shape"]), ("ConstantOfShape", ["shape"], ["ones"])],
        [("Reshape", ["ids", "constant"], ["flat"]), ("Slice", ["flat", "zero", "one"], ["part"])],
        [("Size", ["ids"], ["size"]), ("Range", ["zero", "size", "one"], ["places"])],
    ],
)
def test_shapes_that_follow_from_those_of_the_inputs(nodes: list[Node]) -> None:
    assert static_shapes(graph(*nodes))
