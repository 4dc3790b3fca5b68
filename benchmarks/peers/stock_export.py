"""ONNX as the documents of PyTorch and ONNX Runtime say: torch.onnx.export, the optimizer, `quantize_dynamic`.

INT8 has its best settings for AVX2: weights per channel in 7 bits, so that 16-bit sums cannot saturate. Activations
are scaled per tensor, as `quantize_dynamic` knows nothing else.
"""

from pathlib import Path
from typing import Any

import onnxruntime
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.transformers import optimizer

from peers.worker import INPUTS


def export_raw(model: Any, path: Path) -> None:
    """Trace the model as it is, with both axes dynamic."""
    sample = {name: torch.ones(2, 16, dtype=torch.long) for name in INPUTS}
    axes = {name: {0: "batch", 1: "sequence"} for name in INPUTS} | {"logits": {0: "batch"}}
    model.set_attn_implementation("eager")  # what the optimizer knows
    torch.onnx.export(
        model, tuple(sample.values()), path, input_names=list(INPUTS), output_names=["logits"],
        dynamic_axes=axes, opset_version=17, dynamo=False,
    )  # fmt: skip
    model.set_attn_implementation("sdpa")


def optimize(raw: Path, config: Any, fp32: Path) -> None:
    """Fuse attention, LayerNorm and GELU."""
    fused = optimizer.optimize_model(str(raw), "bert", config.num_attention_heads, config.hidden_size, opt_level=0)
    fused.save_model_to_file(str(fp32))


def quantize(fp32: Path, int8: Path) -> None:
    """Quantize every product."""
    quantize_dynamic(
        fp32, int8, weight_type=QuantType.QInt8, per_channel=True, reduce_range=True,
        extra_options={"DefaultTensorType": 1},
    )  # fmt: skip


def open_session(path: Path, threads: int) -> Any:
    """Open a model on the CPU, with ONNX Runtime's defaults: its threads spin for a while after their work."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
