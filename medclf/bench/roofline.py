"""How near to the limit of this CPU a path comes: its matrix products at their highest measured rate, over its time.

The peak is what ONNX Runtime's own products reach here, with constant weights, in the shapes of the model, on as many
single-threaded callers as the paths have cores. The work is the least that the logits need: every layer for every
token, the last one for [CLS] alone, no padding. So 100 % would be a run that does nothing but products at full speed.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from medclf.errors import OptionError
from medclf.extras import require

ROWS = (64, 256, 512)  # tokens of a product: some of them fit the caches best
TRY_S = 0.1  # of each shape, after one run that packs the weights
OPSET, IR_VERSION = 17, 8
FIELDS = ("num_hidden_layers", "hidden_size", "intermediate_size")


@dataclass(frozen=True)
class Shape:
    """The shape of a BERT-like encoder.

    Attributes:
        n_layers: Its layers.
        width: Of a token between layers.
        wide: Of a token inside of the feed-forward.
    """

    n_layers: int
    width: int
    wide: int

    @classmethod
    def from_config(cls, config: Mapping[str, Any], *, where: str) -> "Shape":
        """Read the shape.

        Args:
            config: Contents of `config.json`.
            where: What a message calls it.

        Returns:
            The shape.

        Raises:
            OptionError: It does not say, as BERT's does, how large the encoder is.
        """
        found = [config.get(name) for name in FIELDS]
        if not all(isinstance(one, int) for one in found):
            raise OptionError(f"roofline: {where} has not all of {', '.join(FIELDS)}, as a BERT's has.")
        return cls(*(int(str(one)) for one in found))

    def linear_macs(self, length: int) -> int:
        """Count the multiplications of all linear layers for one text.

        Args:
            length: Its tokens.

        Returns:
            Multiply-accumulates: 4 width² + 2 width wide a token and layer; in the last layer, key and value for every
            token and the rest for [CLS] alone.
        """
        square, feed_forward = self.width**2, 2 * self.width * self.wide
        inner = (self.n_layers - 1) * length * (4 * square + feed_forward)
        return inner + length * 2 * square + 2 * square + feed_forward

    def attention_macs(self, length: int) -> int:
        """Count those of attention itself: 2 width a pair of tokens and layer; in the last layer [CLS] alone asks."""
        return (self.n_layers - 1) * 2 * self.width * length**2 + 2 * self.width * length

    @property
    def products(self) -> list[tuple[int, int]]:
        """Inner and outer width of each kind of linear layer."""
        width, wide = self.width, self.wide
        return [(width, 3 * width), (width, width), (width, wide), (wide, width)]


@dataclass(frozen=True)
class Peaks:
    """The highest rates of products here.

    Attributes:
        shape: Of the model.
        fp32_gmac_per_s: Of fp32 products, on all cores that count.
        int8_gmac_per_s: Of products of uint8 tokens and int8 weights.
    """

    shape: Shape
    fp32_gmac_per_s: float
    int8_gmac_per_s: float

    def seconds(self, lengths: Sequence[int], *, int8: bool) -> float:
        """Give the time that texts would take at the peak.

        Args:
            lengths: Tokens of each text.
            int8: Whether linear layers are INT8; attention is fp32.

        Returns:
            Seconds.
        """
        linear = self.int8_gmac_per_s if int8 else self.fp32_gmac_per_s
        return sum(
            self.shape.linear_macs(n) / (linear * 1e9) + self.shape.attention_macs(n) / (self.fp32_gmac_per_s * 1e9)
            for n in lengths
        )

    def to_json(self) -> dict[str, Any]:
        """Give the rates and the shape for the report."""
        return asdict(self)


def measure_peaks(shape: Shape, *, threads: int) -> Peaks:
    """Measure the highest rates of ONNX Runtime's products.

    Args:
        shape: Of the model; its linear layers are what is tried.
        threads: Callers at a time, each on a thread of its own.

    Returns:
        The rates.

    Raises:
        ExtraError: onnx or onnxruntime is not installed.
    """
    best = {"fp32": 0.0, "int8": 0.0}
    for precision in best:
        for inner, outer in shape.products:
            run = _product(inner, outer, int8=precision == "int8")
            for rows in ROWS:
                rate = _rate(run, rows, threads) * rows * inner * outer / 1e9
                best[precision] = max(best[precision], rate)
    return Peaks(shape, best["fp32"], best["int8"])


def _product(inner: int, outer: int, *, int8: bool) -> Callable[[int], object]:
    """A session with one product of constant weights; it is run on so many rows."""
    onnx, onnxruntime = require("onnx", extra="export"), require("onnxruntime", extra="cpu")
    chance = np.random.default_rng(0)
    given, constant, result = (np.uint8, np.int8, np.int32) if int8 else (np.float32, np.float32, np.float32)
    weights = chance.integers(-64, 64, (inner, outer)).astype(constant)

    def value(name: str, dtype: Any, width: int) -> Any:
        element = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return onnx.helper.make_tensor_value_info(name, element, ["rows", width])

    node = onnx.helper.make_node("MatMulInteger" if int8 else "MatMul", ["x", "weights"], ["y"])
    initializers = [onnx.numpy_helper.from_array(weights, "weights")]
    graph = onnx.helper.make_graph(
        [node], "product", [value("x", given, inner)], [value("y", result, outer)], initializers
    )
    opset = [onnx.helper.make_opsetid("", OPSET)]
    model = onnx.helper.make_model(graph, opset_imports=opset, ir_version=IR_VERSION)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    inputs = {rows: chance.integers(0, 127, (rows, inner)).astype(given) for rows in ROWS}
    return lambda rows: session.run(None, {"x": inputs[rows]})


def _rate(run: Callable[[int], object], rows: int, threads: int) -> float:
    """Runs a second of all callers together."""

    def call(_: int) -> float:
        run(rows)
        n_runs, start = 0, time.perf_counter()
        while (seconds := time.perf_counter() - start) < TRY_S:
            run(rows)
            n_runs += 1
        return n_runs / seconds

    with ThreadPoolExecutor(threads) as callers:
        return sum(callers.map(call, range(threads)))
