"""Our graph and schedule beside stock ONNX Runtime and PyTorch, in one process, in turns, on the same token ids.

    python benchmarks/stock_onnxruntime.py --checkpoint FOLDER --data FILE [--texts 96] [--rounds 5] [--output FILE]
    python benchmarks/stock_onnxruntime.py --bert-base --tokenizer FOLDER --data FILE

Timed: from token ids to logits, padding included; tokenizing is not. Stock is what its documents say:
torch.onnx.export, `onnxruntime.transformers` optimizer, `quantize_dynamic` (per channel, 7-bit weights, as AVX2 needs),
texts sorted by length, 16 a batch, padded to the longest; one session of all cores, and one caller a core, the better
one counts. Two kinds of work: all texts, each way free to sort them; and one batch as it comes (unsorted, padded to the
longest), which is what a server's caller sends. BERT-base has random weights: its speed is right, its labels mean
nothing.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import onnxruntime
import torch
import transformers
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.transformers import optimizer

from medclf.bench.environment import environment
from medclf.data.tables import Table
from medclf.runtime.cores import usable_cores
from medclf.runtime.runner import Runner
from medclf.runtime.session import Session
from medclf.tokenizer import Batch, Encoded, TextEncoder
from medclf_export.bert import BertConfig, BertGraph, Weights

CORES = usable_cores()
BATCH = 16
INPUTS = ("input_ids", "attention_mask", "token_type_ids")

Run = Callable[[Batch], Any]


@dataclass(frozen=True)
class Models:
    """The same weights in every form."""

    torch: Any
    stock: dict[str, dict[int, Run]]  # precision -> threads of a call -> run
    ours: dict[str, dict[int, Session]]


def load(folder: Path | None) -> Any:
    """The checkpoint, or the shape of BERT-base with random weights."""
    if folder is None:
        torch.manual_seed(0)
        return transformers.BertForSequenceClassification(transformers.BertConfig(num_labels=5)).eval()
    return transformers.AutoModelForSequenceClassification.from_pretrained(folder, local_files_only=True).eval()


def stock_session(path: Path, threads: int) -> Run:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # ways take turns: none may hold a core
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda batch: session.run(None, batch.feed())[0]


def export_stock(model: Any, folder: Path) -> dict[str, dict[int, Run]]:
    """As the documents of PyTorch and ONNX Runtime say."""
    sample = {name: torch.ones(2, 16, dtype=torch.long) for name in INPUTS}
    axes = {name: {0: "batch", 1: "sequence"} for name in INPUTS} | {"logits": {0: "batch"}}
    model.set_attn_implementation("eager")
    torch.onnx.export(
        model, tuple(sample.values()), folder / "raw.onnx", input_names=list(INPUTS), output_names=["logits"],
        dynamic_axes=axes, opset_version=17, dynamo=False,
    )  # fmt: skip
    model.set_attn_implementation("sdpa")
    config = model.config
    fused = optimizer.optimize_model(
        str(folder / "raw.onnx"), "bert", config.num_attention_heads, config.hidden_size, opt_level=0
    )
    fused.save_model_to_file(str(folder / "fp32.onnx"))
    quantize_dynamic(
        folder / "fp32.onnx", folder / "int8.onnx", weight_type=QuantType.QInt8, per_channel=True, reduce_range=True,
        extra_options={"DefaultTensorType": 1},
    )  # fmt: skip
    return {
        precision: {threads: stock_session(folder / f"{precision}.onnx", threads) for threads in {1, CORES}}
        for precision in ("fp32", "int8")
    }


def build(model: Any, folder: Path) -> Models:
    weights = Weights({name: value.numpy() for name, value in model.state_dict().items()})
    config = BertConfig.from_config(model.config.to_dict(), n_labels=model.config.num_labels, where="config.json")
    ours = {}
    for precision in ("fp32", "int8"):
        data = BertGraph(config, weights, int8=precision == "int8").build({}).SerializeToString()
        ours[precision] = {threads: Session(data, threads=threads) for threads in {1, CORES}}
    return Models(model, export_stock(model, folder), ours)


@torch.inference_mode()
def run_torch(model: Any, batch: Batch) -> Any:
    return model(**{name: torch.from_numpy(value) for name, value in batch.feed().items()}).logits.numpy()


def ways(models: Models, encoder: TextEncoder) -> dict[str, Callable[[Sequence[Encoded]], Any]]:
    """Name -> runs all texts."""

    def in_batches(run: Run, *, sort: bool = True, length: int | None = None, callers: int = 1) -> Any:
        def run_all(texts: Sequence[Encoded]) -> Any:
            order = sorted(texts, key=len, reverse=True) if sort else texts
            batches = [encoder.pad(order[i : i + BATCH], length=length) for i in range(0, len(order), BATCH)]
            if callers == 1:
                return [run(batch) for batch in batches]
            with ThreadPoolExecutor(callers) as pool:
                return list(pool.map(run, batches))

        return run_all

    run = partial(run_torch, models.torch)
    found = {
        "torch, padded to 512": in_batches(run, sort=False, length=512),
        "torch, sorted": in_batches(run),
    }
    for precision, by_threads in models.stock.items():
        found[f"stock {precision}, 1 caller"] = in_batches(by_threads[CORES])
        found[f"stock {precision}, {CORES} callers"] = in_batches(by_threads[1], callers=CORES)
    for precision, sessions in models.ours.items():
        found[f"medclf {precision}"] = Runner(sessions[1], encoder, n_callers=CORES).logits
    return found


def measure(found: dict[str, Callable[[Any], Any]], work: dict[str, Any], rounds: int) -> dict[str, dict[str, float]]:
    """Time every way in turns; give real tokens/s, the median and the extremes of the rounds.

    Args:
        found: Name -> runs its work.
        work: Name -> what it is given, and how many real tokens that is.
        rounds: That count; one more goes before, as warm-up.

    Returns:
        Name -> rates.
    """
    rates: dict[str, list[float]] = {name: [] for name in found}
    for round_ in range(rounds + 1):
        for name, way in found.items():
            part, n_tokens = work[name]
            started = time.perf_counter()
            way(part)
            if round_:
                rates[name].append(n_tokens / (time.perf_counter() - started))
    return {
        name: {"tokens_per_s": statistics.median(values), "min": min(values), "max": max(values)}
        for name, values in rates.items()
    }


def all_texts(models: Models, encoder: TextEncoder, texts: Sequence[Encoded], rounds: int) -> Any:
    """Every way sorts as it likes; padding to 512 is so slow that it gets a sixth of the texts."""
    found = ways(models, encoder)
    parts = {name: texts[::6] if "512" in name else texts for name in found}
    return measure(found, {name: (part, sum(map(len, part))) for name, part in parts.items()}, rounds)


def one_batch(models: Models, encoder: TextEncoder, texts: Sequence[Encoded], rounds: int) -> Any:
    """The first texts as they come, in one padded batch, all cores for one call."""
    found: dict[str, Run] = {"torch": partial(run_torch, models.torch)}
    found |= {f"stock {precision}": by_threads[CORES] for precision, by_threads in models.stock.items()}
    found |= {f"medclf {precision}": sessions[CORES].run for precision, sessions in models.ours.items()}
    work = encoder.pad(texts), sum(map(len, texts))
    return measure(found, dict.fromkeys(found, work), rounds)


def read_texts(path: Path, n: int) -> list[str]:
    with Table(path) as table:
        return [str(row.values["text"]) for row, _ in zip(table, range(n), strict=False)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--bert-base", action="store_true")
    parser.add_argument("--tokenizer", type=Path, help="folder with tokenizer.json; default: the checkpoint")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--texts", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    torch.set_num_threads(CORES)
    tokenizer = (options.tokenizer or options.checkpoint) / "tokenizer.json"
    encoder = TextEncoder(tokenizer.read_text(encoding="utf-8"), max_length=512)
    texts = encoder.encode(read_texts(options.data, options.texts))
    with tempfile.TemporaryDirectory() as folder:
        models = build(load(None if options.bert_base else options.checkpoint), Path(folder))
    result = {
        "model": "BERT-base shape, random weights" if options.bert_base else "checkpoint",
        "n_texts": len(texts),
        "mean_tokens": sum(map(len, texts)) / len(texts),
        "cores": CORES,
        "rounds": options.rounds,
        "all_texts": all_texts(models, encoder, texts, options.rounds),
        "one_unsorted_batch_of_16": one_batch(models, encoder, texts[:BATCH], options.rounds),
        "environment": environment(),
    }
    text = json.dumps(result, indent=2)
    if options.output:
        options.output.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
