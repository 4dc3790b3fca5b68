"""How fast medclf-train's loop learns beside the loop of most tutorials: real tokens a second, and macro-F1.

    python benchmarks/training_speed.py --data TRAIN --test-data TEST --model FOLDER --steps 60
    python benchmarks/training_speed.py --data TRAIN --test-data TEST --model FOLDER --epochs 2 --full

The tutorial's loop is Trainer of transformers on texts padded to --max-length (512), in random order. Ours sorts texts
of about equal length into batches and pads them to the longest. Model, training rows, steps, batch size, learning rate
and seed are the same. Each loop is a process of its own; they take turns, --chunk steps at a time, and the first turn
of each is left out. Timed is from the end of a step to the end of the next: batches are made in it, evaluations are
not. Tokens are real ones, counted by the attention mask at the model. --steps bounds the steps for timing alone; --full
trains to the end and scores both on the test rows too (the last weights of the tutorial, the best epoch of ours);
--rows N takes the first N training rows, where all of them would take too long.
Writes `benchmarks/results/training_speed_NAME.json`; no text.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from transformers import Trainer, TrainerCallback, TrainingArguments

from medclf.bench.environment import environment
from medclf.evaluate.metrics import macro_f1
from medclf.train.fit import fit
from medclf.train.options import TrainOptions
from medclf.train.parts import fix_labels, read_parts
from medclf.train.precision import precision_of
from medclf.train.scoring import judge

RESULTS = Path(__file__).resolve().parent / "results"
OPTIONS = (
    "epochs",
    "batch_size",
    "learning_rate",
    "max_length",
    "seed",
    "steps",
    "chunk",
    "full",
    "device",
    "rows",
)
LOOPS = ("tutorial", "medclf")


class Turns(TrainerCallback):  # type: ignore[misc]  # transformers has no types
    """Waits for its turn, times it, and says what it did; stdin and stdout are the parent's."""

    def __init__(self, chunk: int, steps: int | None) -> None:
        self._chunk, self._steps = chunk, steps
        self._tokens = self._evaluating = 0.0
        self._began = 0.0

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        kwargs["model"].register_forward_pre_hook(self._count, with_kwargs=True)
        self._wait({"ready": True})

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        done = self._steps is not None and state.global_step >= self._steps
        if state.global_step % self._chunk == 0 or done or state.global_step == state.max_steps:
            seconds = time.perf_counter() - self._began - self._evaluating
            turn = {"step": state.global_step, "seconds": seconds, "tokens": int(self._tokens)}
            if done:
                control.should_training_stop = True
                control.should_evaluate = control.should_save = False
            self._wait(turn)

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._epoch_ended = time.perf_counter()
        if control.should_training_stop and self._steps is not None:
            control.should_evaluate = control.should_save = False

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step:
            self._evaluating += time.perf_counter() - self._epoch_ended

    def _count(self, model: Any, args: Any, kwargs: dict[str, Any]) -> None:
        if model.training:
            self._tokens += float(kwargs["attention_mask"].sum())

    def _wait(self, said: dict[str, Any]) -> None:
        print(json.dumps(said), flush=True)
        sys.stdin.readline()
        self._tokens = self._evaluating = 0.0
        self._began = time.perf_counter()


class Rows(torch.utils.data.Dataset[dict[str, Any]]):
    """Rows as the tutorial has them, padded beforehand."""

    def __init__(self, encoded: dict[str, Any], targets: Any) -> None:
        self._encoded, self._targets = encoded, targets

    def __len__(self) -> int:
        return len(self._targets)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {**{name: rows[index] for name, rows in self._encoded.items()}, "labels": int(self._targets[index])}


def tutorial(options: TrainOptions, turns: Turns, *, full: bool) -> float | None:
    """Train as tutorials do; give macro-F1 on the test rows of a full run."""
    parts = read_parts(options)
    labels = fix_labels(parts)
    tokenizer = transformers.AutoTokenizer.from_pretrained(options.model)
    rows = {
        name: Rows(
            tokenizer(part.texts, padding="max_length", truncation=True, max_length=options.max_length),
            labels.targets(part.labels),
        )
        for name, part in parts.named().items()
    }
    transformers.set_seed(options.seed)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(options.model, num_labels=len(labels))
    arguments = TrainingArguments(
        output_dir=str(options.output),
        per_device_train_batch_size=options.batch_size,
        num_train_epochs=options.epochs,
        learning_rate=options.learning_rate or 5e-5,
        weight_decay=options.weight_decay,
        seed=options.seed,
        use_cpu=options.device == "cpu",
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    trainer = Trainer(model=model, args=arguments, train_dataset=rows["train"], callbacks=[turns])
    trainer.train()
    if not full:
        return None
    return macro_f1(labels.targets(parts.test.labels), trainer.predict(rows["test"]).predictions.argmax(axis=-1))


def ours(options: TrainOptions, turns: Turns, *, full: bool) -> float | None:
    """Train as medclf-train does."""
    parts = read_parts(options)
    labels = fix_labels(parts)
    if full:
        fitted = fit(parts, labels, options, console=None, callbacks=[turns])
        return float(judge(fitted.outputs, labels).scores["test"]["macro_f1"])
    fit(parts, labels, options, console=None, callbacks=[turns], scored=())
    return None


def first_rows(data: Path, rows: int | None, folder: Path) -> Path:
    """A table of the first rows of another one, in JSON lines."""
    if rows is None:
        return data
    table = folder / "rows.jsonl"
    table.write_text("".join(data.read_text(encoding="utf-8").splitlines(keepends=True)[:rows]), encoding="utf-8")
    return table


def work(given: argparse.Namespace) -> None:
    """Be one of the two loops."""
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as folder:
        data = first_rows(given.data, given.rows, Path(folder))
        options = TrainOptions(
            data, test_data=given.test_data, label_column=(given.label_column,), model=str(given.model),
            output=Path(folder) / "checkpoint", epochs=given.epochs, batch_size=given.batch_size, patience=0,
            learning_rate=given.learning_rate, max_length=given.max_length, seed=given.seed, device=given.device,
            precision=given.precision,
        )  # fmt: skip
        loop = tutorial if given.loop == "tutorial" else ours
        found = loop(options, Turns(given.chunk, None if given.full else given.steps), full=given.full)
    precision = "fp32" if given.loop == "tutorial" else precision_of(options)
    print(json.dumps({"macro_f1": found, "precision": precision}), flush=True)


def measure(arguments: list[str]) -> dict[str, list[dict[str, Any]]]:
    """Let the loops take turns; what each said, turn by turn."""
    command = [sys.executable, __file__, *arguments, "--loop"]
    loops = {
        name: subprocess.Popen([*command, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for name in LOOPS
    }
    said: dict[str, list[dict[str, Any]]] = {name: [] for name in LOOPS}
    for name, loop in loops.items():
        said[name].append(hear(loop))
    going = list(LOOPS)
    while going:
        for name in list(going):
            loops[name].stdin.write("go\n")  # type: ignore[union-attr]
            loops[name].stdin.flush()  # type: ignore[union-attr]
            said[name].append(hear(loops[name]))
            if "macro_f1" in said[name][-1]:
                going.remove(name)
            else:
                print(name, said[name][-1], file=sys.stderr, flush=True)
    return said


def hear(loop: "subprocess.Popen[str]") -> dict[str, Any]:
    """The next document of a loop; libraries write other lines to stdout now and then."""
    while line := loop.stdout.readline():  # type: ignore[union-attr]
        if line.startswith('{"'):
            document: dict[str, Any] = json.loads(line)
            return document
    sys.exit(f"a loop ended with exit code {loop.wait()}")


def result(said: dict[str, list[dict[str, Any]]], given: argparse.Namespace) -> dict[str, Any]:
    """Sum the turns up."""
    turns = {name: [one for one in found if "seconds" in one] for name, found in said.items()}
    rates = {name: [one["tokens"] / one["seconds"] for one in found[1:]] for name, found in turns.items()}
    n = min(map(len, rates.values()))
    ratios = [rates["medclf"][i] / rates["tutorial"][i] for i in range(n)]
    steps = {name: found[-1]["step"] for name, found in turns.items()}
    return {
        "options": {name: getattr(given, name) for name in OPTIONS},
        "data": [given.data.name, given.test_data.name],
        "steps": steps,
        "tokens_per_s": {name: {"median": statistics.median(one), "min": min(one), "max": max(one)}
                         for name, one in rates.items()},
        "speedup": {"median": statistics.median(ratios), "min": min(ratios), "max": max(ratios), "n_turns": n},
        "seconds_of_all_steps": {name: sum(one["seconds"] for one in found) for name, found in turns.items()},
        "macro_f1": {name: found[-1]["macro_f1"] for name, found in said.items()},
        "precision": {name: found[-1]["precision"] for name, found in said.items()},
        "turns": turns,
        "environment": environment(),
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__, "numpy": np.__version__},
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--test-data", type=Path, required=True)
    parser.add_argument("--label-column", default="label")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--name", default="medabs5")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--learning-rate", type=float, default=8e-5)
    parser.add_argument("--max-length", type=int, default=512)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="auto", help="ours; the tutorial's is float32")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--chunk", type=int, default=5)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--rows", type=int, help="of the training table; default: all")
    parser.add_argument("--loop", choices=LOOPS)
    given = parser.parse_args()
    if given.loop:
        work(given)
        return
    found = result(measure(sys.argv[1:]), given)
    suffix = "_full" if given.full else ""
    (RESULTS / f"training_speed_{given.name}{suffix}.json").write_text(json.dumps(found, indent=2) + "\n")
    for name, one in found["tokens_per_s"].items():
        speed = f"{one['median']:,.0f} tokens/s ({one['min']:,.0f} to {one['max']:,.0f})"
        print(f"{name}: {speed}, {found['steps'][name]} steps, macro-F1 {found['macro_f1'][name]}")
    print(f"{found['speedup']['median']:.2f} times ({found['speedup']['min']:.2f} to {found['speedup']['max']:.2f})")


if __name__ == "__main__":
    main()
