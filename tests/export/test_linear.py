"""INT8 weights and rows: bounds of the rounding, and rows that could divide by zero."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from onnx import TensorProto, helper

from medclf_export.graph import ORT_DOMAIN, Graph
from medclf_export.linear import WEIGHT_LIMIT, Linear, linear, quantize_rows, quantize_weight, zero_points
from medclf_export.model import Model
from medclf_export.signature import Signature

FLOATS = st.floats(-100, 100, width=32)


@given(arrays(np.float32, (6, 3), elements=FLOATS))
def test_weights_are_rounded_to_the_nearest_of_7_bits(weight: np.ndarray) -> None:
    rounded, scale = quantize_weight(weight)
    assert rounded.dtype == np.int8
    assert np.abs(rounded).max() <= WEIGHT_LIMIT
    assert (np.abs(rounded * scale - weight) <= scale / 2 + 1e-5).all()


def test_two_products_of_the_extremes_do_not_saturate_int16() -> None:
    worst = 2 * 255 * WEIGHT_LIMIT
    assert worst <= np.iinfo(np.int16).max


def run_linear(x: np.ndarray, layer: Linear, *, int8: bool) -> np.ndarray:
    """One linear layer as a graph of its own, run by ONNX Runtime."""
    import onnxruntime

    graph = Graph()
    graph.add("Identity", ["x"], "value")
    first = graph.add("Reshape", [graph.add("ReduceMax", ["value", graph.int64(1)], "any"), graph.int64(-1)], "rows")
    rows = quantize_rows(graph, "value", zero_points(graph, first, 128))
    linear(graph, rows if int8 else type(rows)("value"), layer, "y")
    info = helper.make_tensor_value_info
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid(ORT_DOMAIN, 1)]
    made = graph.model(Signature((), 1, 1, 1, 1), {})
    proto = made.proto.graph
    del proto.input[:], proto.output[:]
    proto.input.append(info("x", TensorProto.FLOAT, [None, x.shape[1]]))
    proto.output.append(info("y", TensorProto.FLOAT, [None, layer.weight.shape[0]]))
    model = helper.make_model(proto, opset_imports=opsets, ir_version=10)
    return np.asarray(onnxruntime.InferenceSession(Model(model, made.weights).to_bytes()).run(None, {"x": x})[0])


@settings(deadline=None, max_examples=25)
@given(arrays(np.float32, (4, 32), elements=FLOATS))
def test_int8_is_near_fp32_row_by_row(x: np.ndarray) -> None:
    chance = np.random.default_rng(0)
    layer = Linear(chance.standard_normal((8, 32)).astype(np.float32), np.ones(8, np.float32))
    exact = run_linear(x, layer, int8=False)
    assert exact == pytest.approx(x @ layer.weight.T + 1, abs=1e-2)
    # Each factor is off by half a step: |x| <= r, |w| <= s * 63, 32 products
    row, column = np.abs(x).max(1, keepdims=True), np.abs(layer.weight).max(1)
    bound = 32 * row * column * (0.5 / 127 + 0.5 / 63 + 0.25 / 127 / 63)
    assert (np.abs(run_linear(x, layer, int8=True) - exact) <= bound + 1e-3).all()


def test_a_row_of_zeros_gives_the_bias_and_leaves_its_neighbours_alone() -> None:
    layer = Linear(np.eye(4, dtype=np.float32), np.arange(4, dtype=np.float32))
    x = np.array([[0, 0, 0, 0], [1, 2, 3, 4]], np.float32)
    y = run_linear(x, layer, int8=True)
    assert y[0].tolist() == [0, 1, 2, 3]
    assert y[1] == pytest.approx([1, 3, 5, 7], abs=0.05)


def test_a_row_is_the_same_in_any_company() -> None:
    chance = np.random.default_rng(1)
    layer = Linear(chance.standard_normal((8, 32)).astype(np.float32), np.zeros(8, np.float32))
    x = chance.standard_normal((5, 32)).astype(np.float32)
    loud = np.concatenate([x, 1000 * x])  # a scale of the whole tensor would drown the quiet rows
    assert (run_linear(loud, layer, int8=True)[:5] == run_linear(x, layer, int8=True)).all()
