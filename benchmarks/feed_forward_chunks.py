"""The INT8 feed-forward layers of one encoder layer, whole and in chunks of rows, in turns, on one thread.

    python benchmarks/feed_forward_chunks.py [--hidden 768] [--rows 512] [--rounds 30]

A product whose output leaves the second-level cache could run slower than one in chunks that stay inside. Prints the
least and the median time of each way, and GMAC/s by the least.
"""

import argparse
import statistics
import time
from typing import Any

import numpy as np
import onnxruntime
from onnx import TensorProto, helper

from medclf_export.graph import ORT_DOMAIN, Graph
from medclf_export.linear import AFTER_GELU, Linear, linear, quantize_rows, zero_points
from medclf_export.model import Model
from medclf_export.signature import Signature

CHUNKS = (0, 32, 64, 128)  # 0: whole


def feed_forward(graph: Graph, rows: str, layers: tuple[Linear, Linear], name: str) -> str:
    """Up, GELU and down of `rows`."""
    like = graph.add("ReduceMax", [rows, graph.int64(1)], f"{name}_like", keepdims=0)
    wide = linear(graph, quantize_rows(graph, rows, zero_points(graph, like, 128)), layers[0], f"{name}_wide")
    active = graph.add("Gelu", [wide], f"{name}_active")
    narrow = quantize_rows(graph, active, zero_points(graph, like, AFTER_GELU.zero), AFTER_GELU)
    return linear(graph, narrow, layers[1], f"{name}_out")


def session(layers: tuple[Linear, Linear], n_rows: int, chunk: int) -> Any:
    """Open the layers for `n_rows` rows; ONNX Runtime packs the weights for each chunk anew."""
    graph = Graph()
    starts = range(0, n_rows, chunk or n_rows)
    parts = [
        graph.add("Slice", ["x", graph.int64(i), graph.int64(i + (chunk or n_rows)), graph.int64(0)], f"part_{i}")
        for i in starts
    ]
    outputs = [feed_forward(graph, part, layers, part) for part in parts]
    graph.add("Concat", outputs, "y", axis=0)
    made = graph.model(Signature((), 1, 1, 1, 1), {})
    shape = [None, layers[1].weight.shape[0]]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("x", "y")]
    shell = helper.make_graph(made.proto.graph.node, "feed_forward", values[:1], values[1:])
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid(ORT_DOMAIN, 1)]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    model = Model(helper.make_model(shell, opset_imports=opsets, ir_version=10), made.weights)
    return onnxruntime.InferenceSession(model.to_bytes(), options)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hidden", type=int, default=768)
    parser.add_argument("--rows", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=30)
    options = parser.parse_args()
    chance, hidden, wide = np.random.default_rng(0), options.hidden, 4 * options.hidden
    shapes = ((wide, hidden), (hidden, wide))
    up, down = (Linear((0.05 * chance.standard_normal(s)).astype("f"), np.zeros(s[0], "f")) for s in shapes)
    sessions = {chunk: session((up, down), options.rows, chunk) for chunk in CHUNKS if chunk < options.rows}
    x = chance.standard_normal((options.rows, hidden)).astype("f")
    seconds: dict[int, list[float]] = {chunk: [] for chunk in sessions}
    for round_ in range(options.rounds + 1):
        for chunk, one in sessions.items():
            started = time.perf_counter()
            one.run(None, {"x": x})
            if round_:
                seconds[chunk].append(time.perf_counter() - started)
    for chunk, times in seconds.items():
        rate = 2 * hidden * wide * options.rows / min(times) / 1e9
        name = f"chunks of {chunk}" if chunk else "whole"
        print(f"{name}: {1e3 * min(times):.1f} ms, median {1e3 * statistics.median(times):.1f}, {rate:.0f} GMAC/s")


if __name__ == "__main__":
    main()
