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
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
import transformers

from medclf.bench.environment import environment
from medclf.data.tables import Table
from medclf.runtime.cores import usable_cores
from medclf.runtime.runner import Runner
from medclf.runtime.session import Session
from medclf.tokenizer import Batch, Encoded, TextEncoder
from medclf_export.encoder import Built
from medclf_export.families import EncoderConfig
from peers import stock_export

CORES = usable_cores()
BATCH = 16
REST_S = 0.3  # between turns: threads of some pools spin for a while after their work

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


def stock(model: Any, folder: Path) -> dict[str, dict[int, Run]]:
    """As the documents of PyTorch and ONNX Runtime say."""
    raw, fp32, int8 = (folder / f"{name}.onnx" for name in ("raw", "fp32", "int8"))
    stock_export.export_raw(model, raw)
    stock_export.optimize(raw, model.config, fp32)
    stock_export.quantize(fp32, int8)

    def run_on(path: Path, threads: int) -> Run:
        session = stock_export.open_session(path, threads)
        return lambda batch: session.run(None, batch.feed())[0]

    return {path.stem: {threads: run_on(path, threads) for threads in {1, CORES}} for path in (fp32, int8)}


def build(model: Any, folder: Path) -> Models:
    state = {name: value.numpy() for name, value in model.state_dict().items()}
    config = EncoderConfig.from_config(model.config.to_dict(), n_labels=model.config.num_labels, where="config.json")
    ours = {}
    for precision in ("fp32", "int8"):
        route = Built(config, "bert", lambda: state)
        data = route.build({}, int8=set(route.linears) if precision == "int8" else set()).to_bytes()
        ours[precision] = {threads: Session(data, threads=threads) for threads in {1, CORES}}
    return Models(model, stock(model, folder), ours)


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
        found[f"medclf {precision}"] = Runner(sessions[1], encoder, multi_label=False, n_callers=CORES).logits
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
            time.sleep(REST_S)
            started = time.perf_counter()
            way(part)
            if round_:
                rates[name].append(n_tokens / (time.perf_counter() - started))
    return {
        name: {"tokens_per_s": statistics.median(values), "min": min(values), "max": max(values)}
        for name, values in rates.items()
    }


def all_texts(models: Models, encoder: TextEncoder, texts: Sequence[Encoded], rounds: int, only: str) -> Any:
    """Every way sorts as it likes; padding to 512 is so slow that it gets a sixth of the texts."""
    found = {name: way for name, way in ways(models, encoder).items() if only in name}
    parts = {name: texts[::6] if "512" in name else texts for name in found}
    return measure(found, {name: (part, sum(map(len, part))) for name, part in parts.items()}, rounds)


def one_batch(models: Models, encoder: TextEncoder, texts: Sequence[Encoded], rounds: int, only: str) -> Any:
    """The first texts as they come, in one padded batch, all cores for one call; and given to the runtime."""
    found: dict[str, Callable[[Any], Any]] = {"torch": partial(run_torch, models.torch)}
    found |= {f"stock {precision}": by_threads[CORES] for precision, by_threads in models.stock.items()}
    found |= {f"medclf {precision}, one call": sessions[CORES].run for precision, sessions in models.ours.items()}
    n_tokens, batch = sum(map(len, texts)), encoder.pad(texts)
    work: dict[str, Any] = dict.fromkeys(found, (batch, n_tokens))
    for precision, sessions in models.ours.items():
        found[f"medclf {precision}, runtime"] = Runner(sessions[1], encoder, multi_label=False, n_callers=CORES).logits
        work[f"medclf {precision}, runtime"] = texts, n_tokens
    return measure({name: way for name, way in found.items() if only in name}, work, rounds)


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
    parser.add_argument("--batch", type=int, default=64, help="texts of the one unsorted batch")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="time the ways with this in their name, such as int8")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
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
        "all_texts": all_texts(models, encoder, texts, options.rounds, options.only),
        f"one_unsorted_batch_of_{options.batch}": one_batch(
            models, encoder, texts[: options.batch], options.rounds, options.only
        ),
        "environment": environment(),
    }
    text = json.dumps(result, indent=2)
    if options.output:
        options.output.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
