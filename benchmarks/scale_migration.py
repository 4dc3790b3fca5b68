"""Does SmoothQuant's migration of scales help INT8? The error of the logits without it and with it, by kind of layer.

    python benchmarks/scale_migration.py --checkpoint FOLDER [--rows 96] [--max-length 128] [--output FILE]

Before the linear layers of a kind, input channel j is divided by s_j = sqrt(max|x_j| / max|w_j|) and its weights are
multiplied by s_j (Xiao and others 2022, alpha 0.5; the maxima of x over rows of the training part). The division is a
node of its own here, as the error alone is measured. Left out is the second feed-forward layer: nothing can be folded
through GELU. Rows are those of the test part that the checkpoint's record names. Prints JSON.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime

from medclf.bench.environment import environment
from medclf.runtime.runner import Runner
from medclf.runtime.session import Session
from medclf.tokenizer import Encoded, TextEncoder
from medclf.train.checkpoint import Checkpoint, read_checkpoint
from medclf_export import held_out
from medclf_export.checkpoint_model import CheckpointModel
from medclf_export.encoder import EncoderGraph, linear_names
from medclf_export.families import EncoderConfig, Weights
from medclf_export.linear import SYMMETRIC, Linear, Range, Rows
from medclf_export.model import Array

N_CALIBRATION = 64
READERS = {  # kind of layer -> the weights that read its input
    "attention_in": ("attention.self.query", "attention.self.key", "attention.self.value"),
    "attention_out": ("attention.output.dense",),
    "feed_forward_in": ("intermediate.dense",),
}
VARIANTS = ((), *((kind,) for kind in READERS), tuple(READERS))


def reads(name: str) -> list[str]:
    """`layer_3.attention_out` -> the weights that read its input."""
    layer, kind = name.removeprefix("layer_").split(".")
    return [f"encoder.layer.{layer}.{reader}" for reader in READERS.get(kind, ())]


class MigratedWeights(Weights):
    """Weights whose input channels carry the migrated scales."""

    def __init__(self, state: Mapping[str, Array], scales: Mapping[str, Array]) -> None:
        super().__init__(state, "bert")
        self._scales = {prefix: scale for name, scale in scales.items() for prefix in reads(name)}

    def linear(self, prefix: str) -> Linear:
        layer = super().linear(prefix)
        return Linear(layer.weight * self._scales.get(prefix, np.float32(1)), layer.bias)


class MigratedGraph(EncoderGraph):
    """The graph with scales migrated before some layers; `values` names the input of each linear layer."""

    def __init__(self, config: EncoderConfig, state: Mapping[str, Array], scales: Mapping[str, Array], int8: set[str]):
        super().__init__(config, MigratedWeights(state, scales), int8=int8)
        self._scales = scales
        self.values: dict[str, str] = {}

    def _rows(self, value: str, like: str, linear_name: str, range_: Range = SYMMETRIC) -> Rows:
        self.values.setdefault(linear_name, value)  # the last layer's [CLS] reads the same values again
        if linear_name in self._scales:
            inverse = self._graph.constant(f"{linear_name}_inverse", 1 / self._scales[linear_name])
            value = self._graph.add("Mul", [value, inverse], f"{value}_migrated")
        return super()._rows(value, like, linear_name, range_)


def scales(config: EncoderConfig, state: Mapping[str, Array], texts: Sequence[Encoded], encoder: TextEncoder) -> Any:
    """Linear layer -> s, float32 [in]."""
    graph = MigratedGraph(config, state, {}, set())
    proto = onnx.load_from_string(graph.build({}).to_bytes())
    values = {name: value for name, value in graph.values.items() if reads(name)}
    proto.graph.output.extend(onnx.ValueInfoProto(name=value) for value in values.values())
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    largest = [
        [np.abs(rows).max(axis=0) for rows in session.run(list(values.values()), encoder.pad([text]).feed())]
        for text in texts
    ]
    found = {}
    for name, x in zip(values, map(np.stack, zip(*largest, strict=True)), strict=True):
        weights = np.concatenate([Weights(state, "bert").linear(prefix).weight for prefix in reads(name)])
        found[name] = np.sqrt(np.maximum(x.max(axis=0), 1e-5) / np.maximum(np.abs(weights).max(axis=0), 1e-5))
    return found


def part(checkpoint: Checkpoint, encoder: TextEncoder, name: str, n: int) -> Sequence[Encoded]:
    assert checkpoint.record is not None
    only = replace(checkpoint.record, splits={"test": checkpoint.record.splits[name]})
    rows = held_out.from_record(only, checkpoint.labels, encoder)
    assert rows is not None
    return rows.encoded[:n]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=96)
    parser.add_argument("--max-length", type=int, default=128)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    checkpoint = read_checkpoint(options.checkpoint)
    tokenizer_json = (options.checkpoint / "tokenizer.json").read_text(encoding="utf-8")
    encoder = TextEncoder(tokenizer_json, max_length=options.max_length)
    state = CheckpointModel(checkpoint).state
    config = EncoderConfig.from_config(checkpoint.config, n_labels=len(checkpoint.labels), where="config.json")
    migrated = scales(config, state, part(checkpoint, encoder, "train", N_CALIBRATION), encoder)
    test = part(checkpoint, encoder, "test", options.rows)

    def logits(int8: set[str], chosen: Sequence[str] = ()) -> Any:
        own = {name: scale for name, scale in migrated.items() if name.split(".")[1] in chosen}
        model = MigratedGraph(config, state, own, int8).build({})
        runner = Runner(Session(model.to_bytes()), encoder, multi_label=checkpoint.labels.multi_label)
        return runner.logits(test)

    exact, everything, result = logits(set()), set(linear_names(config)), {}
    for variant in VARIANTS:
        difference = logits(everything, variant) - exact
        root = float(np.sqrt(np.square(difference).mean()))
        result[" + ".join(variant) or "none"] = {"rms": root, "largest": float(np.abs(difference).max())}
    document = {"n_rows": len(test), "max_length": options.max_length, "error_of_logits": result}
    text = json.dumps(document | {"environment": environment()}, indent=2)
    if options.output:
        options.output.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
