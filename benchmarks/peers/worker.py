"""The process of one peer: reads texts, makes its model, and runs it when its turn comes.

A peer needs numpy, tokenizers and its own packages, not medclf. `process.py` starts it as `python -m peers.NAME
FOLDER`; the folder holds `job.json` (the fields of `Job`), `raw.onnx` (fp32, as torch.onnx.export writes it), texts as
token ids in `*.npz` and as strings in `*.json`. The peer prints one JSON line when its model is made, and one for each
turn that it is asked for on stdin.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

BATCH = 16
INPUTS = ("input_ids", "attention_mask", "token_type_ids")


@dataclass(frozen=True)
class Text:
    """One text: its token ids, and the token types of a pair."""

    input_ids: Any
    token_type_ids: Any

    def __len__(self) -> int:
        return len(self.input_ids)


Run = Callable[[Sequence[Text]], Any]  # texts -> logits [texts, labels], in their order
Classify = Callable[[Sequence[str]], Any]  # strings -> number of the label of each


@dataclass(frozen=True)
class Peer:
    """A model that is ready.

    Attributes:
        size_bytes: Of the model's files.
        runs: Threading, such as `1 x 2` (calls at a time x threads of each) -> runs texts.
        versions: Package -> version.
        classify: Threading -> classifies strings; None for `tokenizers`, then the run, then the largest logit.
    """

    size_bytes: int
    runs: dict[str, Run]
    versions: dict[str, str]
    classify: dict[str, Classify] | None = None


@dataclass(frozen=True)
class Job:
    """What a peer is given.

    Attributes:
        folder: What it may read and write.
        checkpoint: The model in PyTorch.
        cores: How many it may use.
        precision: For medclf: which model of the bundle.
    """

    folder: Path
    checkpoint: Path
    cores: int
    precision: str = ""

    def texts(self, name: str) -> list[Text]:
        """Read `NAME.npz`."""
        found = np.load(self.folder / f"{name}.npz")
        ends = np.cumsum(found["lengths"])[:-1]
        parts = (np.split(found[key], ends) for key in ("input_ids", "token_type_ids"))
        return [Text(*one) for one in zip(*parts, strict=True)]

    def strings(self, name: str) -> list[str]:
        """Read `NAME.json`."""
        return list(json.loads((self.folder / f"{name}.json").read_text(encoding="utf-8")))


def save_texts(path: Path, texts: Sequence[Any]) -> None:
    """Write texts (anything with `input_ids` and `token_type_ids`) for `Job.texts`."""
    arrays = {key: np.concatenate([getattr(one, key) for one in texts]) for key in ("input_ids", "token_type_ids")}
    np.savez(path, lengths=np.array([len(one) for one in texts]), **arrays)


def pad(texts: Sequence[Text], length: int | None = None) -> dict[str, Any]:
    """Stack texts, padded on the right to the longest or to `length`: int64 [texts, length] by the names of inputs."""
    feed = {name: np.zeros((len(texts), length or max(map(len, texts))), dtype=np.int64) for name in INPUTS}
    for row, one in enumerate(texts):
        feed["input_ids"][row, : len(one)] = one.input_ids
        feed["attention_mask"][row, : len(one)] = 1
        feed["token_type_ids"][row, : len(one)] = one.token_type_ids
    return feed


def sorted_batches(texts: Sequence[Text]) -> list[Any]:
    """Places of the texts of each batch: sorted by length, the longest first."""
    order = np.argsort([-len(one) for one in texts], kind="stable")
    return [order[i : i + BATCH] for i in range(0, len(order), BATCH)]


def in_batches(run: Run, *, callers: int = 1) -> Run:
    """Run all texts, batch by batch, `callers` batches at a time; give the logits in the texts' order."""

    def run_all(texts: Sequence[Text]) -> Any:
        batches = sorted_batches(texts)
        with ThreadPoolExecutor(callers) as pool:
            results = list(pool.map(lambda batch: run([texts[i] for i in batch]), batches))
        logits = np.empty((len(texts), results[0].shape[1]), dtype=np.float32)
        logits[np.concatenate(batches)] = np.concatenate(results)
        return logits

    return run_all


def classifiers(job: Job, peer: Peer, max_length: int) -> dict[str, Classify]:
    """Threading -> classifies strings: the peer's own way, or the tokenizer of Hugging Face before its run."""
    if peer.classify is not None:
        return peer.classify
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(job.checkpoint / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length)

    def classify_with(run: Run) -> Classify:
        def classify(strings: Sequence[str]) -> Any:
            encoded = tokenizer.encode_batch_fast(list(strings))
            return run([Text(one.ids, one.type_ids) for one in encoded]).argmax(axis=1)

        return classify

    return {threading: classify_with(run) for threading, run in peer.runs.items()}


def timed(call: Callable[[Any], Any], given: Any) -> tuple[float, Any]:
    """Seconds, and what it gave."""
    started = time.perf_counter()
    result = call(given)
    return time.perf_counter() - started, result


def serve(load: Callable[[Job], Peer]) -> None:
    """Make the peer's model, then answer turns until stdin ends.

    A turn is a set of texts by `texts`, run at once; or of `strings`, classified at once or, with `alone`, one by one.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a converter prints is no answer
    folder = Path(sys.argv[1])
    given = json.loads((folder / "job.json").read_text())
    job = Job(folder, Path(given["checkpoint"]), given["cores"], given["precision"])
    peer = load(job)
    classify = classifiers(job, peer, given["max_length"]) if "max_length" in given else {}
    threadings = list(peer.runs or classify)
    ready = {"size_bytes": peer.size_bytes, "threading": threadings, "versions": peer.versions}
    print(json.dumps(ready), file=answers, flush=True)
    for line in sys.stdin:
        turn = json.loads(line)
        threading = turn["threading"]
        if turn.get("alone"):
            strings = job.strings(turn["strings"])
            answer = {"latencies": [timed(classify[threading], [one])[0] for one in strings]}
        elif "strings" in turn:
            answer = {"seconds": timed(classify[threading], job.strings(turn["strings"]))[0]}
        else:
            seconds, logits = timed(peer.runs[threading], job.texts(turn["texts"]))
            answer = {"seconds": seconds}
            if "output" in turn:
                np.save(turn["output"], logits)
        print(json.dumps(answer), file=answers, flush=True)
