"""medclf-serve under load, beside the offline runner and beside plain servers; all on one machine, over loopback.

    python benchmarks/serve.py --bundle bundle --checkpoint checkpoint --output benchmarks/results/serve.json

Texts are random words of the bundle's vocabulary, 15 to 500 tokens before truncation. Timed: from the time that a
request was due to the last byte of its answer, tokenizing and HTTP included. The generator runs on the same cores as
the server and takes its share of them; the offline runner has all of them. Not timed: starting. Loads: as much as 64
callers send (sustained); 70 % of that, 3 and 10 times that, at random times (open loop). The offline runner is timed
before and after, as other work on the machine moves both. `--max-length 512` measures a copy of the bundle that cuts
later: its answers mean nothing, its speed does. The last line of stdout is JSON.
"""

import argparse
import asyncio
import json
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from medclf.bench.environment import environment
from medclf.runtime import Classifier
from serve_load import Target, Texts, closed, opened, summary

HERE = Path(__file__).parent
N_CALLERS = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--checkpoint", type=Path, help="of the same model, for the pipeline; left out without")
    parser.add_argument("--seconds", type=float, default=15.0, help="of each load")
    parser.add_argument("--n-texts", type=int, default=400)
    parser.add_argument("--max-length", type=int, help="most tokens of a text; default: the bundle's own")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.max_length:
            options.bundle = longer(options.bundle, Path(folder, "bundle"), options.max_length)
        result = measure(options)
    text = json.dumps(result)
    if options.output:
        options.output.write_text(json.dumps(result, indent=1) + "\n")
    print(text)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    classifier = Classifier.load(options.bundle)
    texts = make_texts(classifier, options.bundle, options.n_texts)
    offline = [time_offline(classifier, texts)]
    result: dict[str, Any] = {
        "environment": environment(),
        "command": " ".join(["python benchmarks/serve.py", *map(str, sys.argv[1:])]),
        "lengths": {"min": min(n for _, n in texts), "mean": statistics.fmean(n for _, n in texts),
                    "max": max(n for _, n in texts)},
        "seconds_each": options.seconds,
    }  # fmt: skip
    result["medclf-serve"] = ours(options, texts)
    offline.append(time_offline(classifier, texts))
    result["offline"] = offline
    per_s = 0.7 * result["medclf-serve"]["sustained"]["texts_per_s"]
    max_length = str(classifier.manifest.max_length)
    classifier.close()
    peers = {"onnxruntime": options.bundle, **({"pipeline": options.checkpoint} if options.checkpoint else {})}
    for kind, folder in peers.items():
        result[kind] = peer(kind, folder, max_length, texts, per_s, options.seconds)
    one = result["medclf-serve"]
    result["ratios"] = {
        "sustained_over_offline": one["sustained"]["tokens_per_s"] / statistics.fmean(offline),
        "p99_at_70_percent_over_longest": one["load_0.7"]["p99_ms"] / one["longest_alone_ms"],
        "goodput_at_3x": one["load_3"]["tokens_per_s"] / one["sustained"]["tokens_per_s"],
        "goodput_at_10x": one["load_10"]["tokens_per_s"] / one["sustained"]["tokens_per_s"],
        **{f"sustained_over_{kind}": one["sustained"]["texts_per_s"] / result[kind]["sustained"]["texts_per_s"]
           for kind in peers},
    }  # fmt: skip
    return result


def longer(bundle: Path, copy: Path, max_length: int) -> Path:
    """A copy of a bundle that cuts texts at another length."""
    shutil.copytree(bundle, copy)
    manifest = json.loads((copy / "medclf.json").read_bytes())
    (copy / "medclf.json").write_text(json.dumps(manifest | {"max_length": max_length}), encoding="utf-8")
    return copy


def make_texts(classifier: Classifier, bundle: Path, n_texts: int) -> Texts:
    """Random words, and how many tokens the model runs of each text."""
    chance = random.Random(7)
    vocabulary = json.loads((bundle / "tokenizer.json").read_bytes())["model"]["vocab"]
    words = [word for word in vocabulary if re.fullmatch("[a-z]{3,}", word)]
    texts = [" ".join(chance.choices(words, k=chance.randint(13, 498))) for _ in range(n_texts)]
    return [(text, len(one)) for text, one in zip(texts, classifier.encode(texts), strict=True)]


def time_offline(classifier: Classifier, texts: Texts) -> float:
    """Tokens a second of `Classifier.predict`."""
    classifier.predict([text for text, _ in texts[:20]])
    began = time.perf_counter()
    classifier.predict([text for text, _ in texts])
    return round(sum(n for _, n in texts) / (time.perf_counter() - began), 1)


def ours(options: argparse.Namespace, texts: Texts) -> dict[str, Any]:
    command = [sys.executable, "-m", "medclf.cli.serve", "--bundle", str(options.bundle), "--port", "0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    port = int(re.findall(r"port (\d+)", process.stderr.readline())[0])
    child = int(re.findall(r"process (\d+)", process.stderr.readline())[0])
    target = Target(port, "/v1/predict", "texts")
    try:
        warm_up(target, texts)
        found: dict[str, Any] = {"longest_alone_ms": longest_alone(target, texts)}
        found["sustained"] = summary(*asyncio.run(closed(target, texts, n_callers=N_CALLERS, seconds=options.seconds)))
        found["rss_mb_after_sustained"] = rss_mb(child)
        per_s = found["sustained"]["texts_per_s"]
        for times in (0.7, 3, 10):
            load = opened(target, texts, per_s=times * per_s, seconds=options.seconds)
            found[f"load_{times}"] = summary(*asyncio.run(load)) | {"rss_mb": rss_mb(child)}
        metrics = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics").read().decode()
        real, padded = (float(re.findall(rf"^medclf_{name} (\S+)", metrics, re.M)[0])
                        for name in ("tokens_total", "padded_tokens_total"))  # fmt: skip
        found["padded_over_real_tokens"] = round(padded / real, 4)
        return found
    finally:
        process.terminate()
        process.wait(60)


def warm_up(target: Target, texts: Texts) -> None:
    asyncio.run(closed(target, texts, n_callers=4, seconds=2))


def longest_alone(target: Target, texts: Texts) -> float:
    """Median milliseconds of the longest text with nothing beside it."""
    longest = max(texts, key=lambda one: one[1])
    replies, _ = asyncio.run(closed(target, [longest], n_callers=1, seconds=2))
    return round(1000 * statistics.median(one.seconds for one in replies), 1)


def rss_mb(process: int) -> float:
    (pages,) = re.findall(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text())
    return round(int(pages) / 1024, 1)


def peer(kind: str, folder: Path, max_length: str, texts: Texts, per_s: float, seconds: float) -> dict[str, Any]:
    port = 8101 if kind == "pipeline" else 8102
    with running([sys.executable, str(HERE / "serve_peer.py"), kind, str(folder), str(port), max_length], port):
        target = Target(port, "/predict", "text")
        warm_up(target, texts)
        found: dict[str, Any] = {"longest_alone_ms": longest_alone(target, texts)}
        found["sustained"] = summary(*asyncio.run(closed(target, texts, n_callers=N_CALLERS, seconds=seconds)))
        found["load_as_ours_at_0.7"] = summary(*asyncio.run(opened(target, texts, per_s=per_s, seconds=seconds)))
        return found


@contextmanager
def running(command: list[str], port: int) -> Iterator[None]:
    process = subprocess.Popen(command)
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/openapi.json").read()
                break
            except OSError:
                time.sleep(0.2)
        yield
    finally:
        process.terminate()
        process.wait(60)


if __name__ == "__main__":
    main()
