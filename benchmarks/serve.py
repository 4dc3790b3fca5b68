"""medclf-serve under load, beside the offline runner and beside plain servers; all on one machine, over loopback.

    python benchmarks/serve.py --bundle bundle --checkpoint checkpoint --output benchmarks/results/serve.json

Texts are random words of the bundle's vocabulary, 15 to 500 tokens before truncation. Timed: from the time that a
request was due to the last byte of its answer, tokenizing and HTTP included. The generator runs on the same cores as
the server and takes its share of them; the offline runner has all of them. Not timed: starting. Loads: as much as 64
callers send (sustained); 70 % of that, for four times as long, and 3 and 10 times that, at random times (open loop).
Sustained loads and the offline runner take turns, as do ours at 70 % and the longest text alone, and what is compared
is the ratio of each turn. The longest text alone has all cores; its time in service is how long it runs at 70 %, as the
server says (Server-Timing), where it has one core and company. `ideal` is no server: the same requests in a queue that
serves first come, first served, at the rate of the offline runner. `--max-length 512` measures a copy of the bundle
that cuts later: its answers mean nothing, its speed does. The last line of stdout is JSON.
"""

import argparse
import contextlib
import gc
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
from pathlib import Path
from typing import Any

import uvloop

from medclf.bench.environment import environment
from medclf.runtime import Classifier
from serve_load import Reply, Target, Texts, closed, ideal, opened, summary

HERE = Path(__file__).parent
N_CALLERS = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--checkpoint", type=Path, help="of the same model, for the pipeline; left out without")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each load")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--n-offline", type=int, default=100, help="texts of the offline runner in a round")
    parser.add_argument("--n-texts", type=int, default=400)
    parser.add_argument("--max-length", type=int, help="most tokens of a text; default: the bundle's own")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    gc.disable()  # a collection here would count as latency there
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
    lengths = [n for _, n in texts]
    result: dict[str, Any] = {
        "environment": environment(),
        "lengths": {"min": min(lengths), "mean": round(statistics.fmean(lengths), 1), "max": max(lengths)},
        "seconds_each": options.seconds,
        "n_rounds": options.rounds,
    }
    with contextlib.ExitStack() as stack:
        port, process = stack.enter_context(ours(options.bundle))
        targets = {"medclf-serve": Target(port, "/v1/predict", "texts")}
        peers = {"onnxruntime": options.bundle, **({"pipeline": options.checkpoint} if options.checkpoint else {})}
        for port, (kind, folder) in enumerate(peers.items(), start=8101):
            stack.enter_context(peer(kind, folder, str(classifier.manifest.max_length), port))
            targets[kind] = Target(port, "/predict", "text")
        for target in targets.values():
            uvloop.run(closed(target, texts, n_callers=4, seconds=2))
        result |= sustained(classifier, targets, texts, options)
        result["longest_alone_ms"] = {kind: longest_alone(target, texts) for kind, target in targets.items()}
        result |= loads(targets, texts, result["median"], process, options)
    result["ratios"] = ratios(result)
    return result


def sustained(
    classifier: Classifier, targets: dict[str, Target], texts: Texts, options: argparse.Namespace
) -> dict[str, Any]:
    """Tokens a second of each, in turns, so that other work on the machine strikes all alike."""
    rounds, unanswered = [], dict.fromkeys(targets, 0)
    for _ in range(options.rounds):
        one = {"offline": time_offline(classifier, texts[: options.n_offline])}
        for kind, target in targets.items():
            load = closed(target, texts, n_callers=N_CALLERS, seconds=options.seconds)
            found = summary(*uvloop.run(load))
            one[kind] = found["tokens_per_s"]
            unanswered[kind] += int(found["n_requests"] - found["n_answered"])
        rounds.append(one)
    return {
        "sustained_tokens_per_s": rounds,
        "sustained_unanswered": unanswered,
        "median": {kind: statistics.median(one[kind] for one in rounds) for kind in rounds[0]},
    }


def loads(
    targets: dict[str, Target], texts: Texts, sustains: dict[str, float], process: int, options: argparse.Namespace
) -> dict[str, Any]:
    """Open loops: every server at 70 % of what ours sustains; ours at 3 and 10 times of it."""
    per_s, seconds = sustains["medclf-serve"] / statistics.fmean(n for _, n in texts), options.seconds
    at_best = ideal(texts, per_s=0.7 * per_s, seconds=4 * seconds, tokens_per_s=sustains["offline"])
    found: dict[str, Any] = {"load_0.7": {"ideal": summary(*at_best)}, "rss_mb": {"before": rss_mb(process)}}

    def held(kind: str) -> dict[str, float]:
        replies, took = uvloop.run(opened(targets[kind], texts, per_s=0.7 * per_s, seconds=4 * seconds))
        return summary(replies, took) | {"longest_in_service_ms": longest_in_service(replies)}

    mine = targets["medclf-serve"]
    rounds = [{"longest_alone_ms": longest_alone(mine, texts), **held("medclf-serve")} for _ in range(options.rounds)]
    found["load_0.7_rounds"] = rounds
    found["load_0.7"]["medclf-serve"] = sorted(rounds, key=lambda one: one["p99_ms"])[len(rounds) // 2]
    for times in (3, 10):
        load = opened(mine, texts, per_s=times * per_s, seconds=seconds)
        found[f"load_{times}"] = summary(*uvloop.run(load))
        found["rss_mb"][f"after_load_{times}"] = rss_mb(process)
    for kind in [one for one in targets if one != "medclf-serve"]:
        found["load_0.7"][kind] = held(kind)  # the pipeline last: it cannot hold the load, and goes on with it for long
    return found


def ratios(result: dict[str, Any]) -> dict[str, float]:
    """Those of each round where things ran in turns, and their median."""
    rounds, mine = result["sustained_tokens_per_s"], "medclf-serve"
    found = {
        f"sustained_over_{kind}": statistics.median(one[mine] / one[kind] for one in rounds)
        for kind in rounds[0]
        if kind != mine
    }
    for longest in ("longest_in_service", "longest_alone"):
        found[f"p99_at_0.7_over_{longest}"] = statistics.median(
            one["p99_ms"] / one[f"{longest}_ms"] for one in result["load_0.7_rounds"]
        )
    alone = [one["longest_alone_ms"] for one in result["load_0.7_rounds"]]
    found["p99_at_0.7_over_longest_alone_ideal"] = result["load_0.7"]["ideal"]["p99_ms"] / statistics.median(alone)
    for times in (3, 10):
        found[f"goodput_at_{times}x"] = result[f"load_{times}"]["tokens_per_s"] / result["median"][mine]
    return {name: round(ratio, 3) for name, ratio in found.items()}


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


@contextlib.contextmanager
def ours(bundle: Path) -> Iterator[tuple[int, int]]:
    """A server with its defaults: its port, and the process that answers."""
    command = [sys.executable, "-m", "medclf.cli.serve", "--bundle", str(bundle), "--port", "0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        port = int(re.findall(r"port (\d+)", process.stderr.readline())[0])
        yield port, int(re.findall(r"process (\d+)", process.stderr.readline())[0])
    finally:
        process.terminate()
        process.wait(60)


def longest_alone(target: Target, texts: Texts) -> float:
    """Median milliseconds of the longest text with nothing beside it."""
    longest = max(texts, key=lambda one: one[1])
    replies, _ = uvloop.run(closed(target, [longest], n_callers=1, seconds=2))
    return round(1000 * statistics.median(one.seconds for one in replies), 1)


def longest_in_service(replies: list[Reply]) -> float:
    """Median milliseconds that the longest texts, by a twentieth, ran; 0 where the server says nothing."""
    longest = max(one.n_tokens for one in replies)
    ran = [one.run_s for one in replies if one.status == 200 and one.n_tokens >= 0.95 * longest]
    return round(1000 * statistics.median(ran), 1) if ran else 0.0


def rss_mb(process: int) -> float:
    (pages,) = re.findall(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text())
    return round(int(pages) / 1024, 1)


@contextlib.contextmanager
def peer(kind: str, folder: Path, max_length: str, port: int) -> Iterator[None]:
    process = subprocess.Popen([sys.executable, str(HERE / "serve_peer.py"), kind, str(folder), str(port), max_length])
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
