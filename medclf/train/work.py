"""The work folder of a run, `<output>.work` beside the output: what a stopped run goes on from.

It holds Trainer's checkpoints (weights, optimizer, schedule, random states) and `run.json`: what the run was told, and
hashes of what it was given. It is removed when the output is whole.
"""

import contextlib
import json
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from medclf.atomic import check_output
from medclf.errors import MedclfError, OutputError, TrainingError
from medclf.train.options import TrainOptions
from medclf.train.precision import precision_of

RUN = "run.json"
# may change on a resume: where things are, not what they are; the data is compared by its hash
NOT_COMPARED = (
    *("data", "eval_data", "test_data", "output", "resume", "overwrite", "stop_after"),
    *("log_to", "log_dir"),
)
TORCH_WRITERS = ("PytorchStreamWriter", "inline_container", "iostream")  # what torch.save's errors go by


def work_folder(output: Path) -> Path:
    """Give the work folder of an output."""
    return output.with_name(f"{output.name}.work")


def last_checkpoint(work: Path) -> Path | None:
    """Find the newest checkpoint that was written to its end.

    Args:
        work: A work folder, which need not exist.

    Returns:
        Its folder, or None.
    """
    found = [path for path in work.glob("checkpoint-*") if re.fullmatch(r"checkpoint-\d+", path.name)]
    whole = [path for path in found if _is_whole(path)]
    return max(whole, key=lambda path: int(path.name.split("-")[1]), default=None)


def _is_whole(checkpoint: Path) -> bool:
    try:  # Trainer writes this file last
        json.loads((checkpoint / "trainer_state.json").read_bytes())
    except (OSError, ValueError):
        return False
    return True


def check_run(options: TrainOptions) -> None:
    """Refuse a run early that would end in an error: before the data is read.

    Args:
        options: Of the run.

    Raises:
        OutputError: The output exists or cannot be written.
        TrainingError: A stopped run is in the way, or there is none to resume.
        OptionError: The machine has not the device or the precision.
    """
    precision_of(options)
    check_output(options.output, overwrite=options.overwrite)
    work = work_folder(options.output)
    stopped = (work / RUN).is_file() if options.several else last_checkpoint(work) is not None
    if options.resume and not stopped:
        raise TrainingError(f"{work}: no stopped run is saved there, so there is nothing to resume. Drop --resume.")
    if stopped and not options.resume and not options.overwrite:
        raise TrainingError(
            f"{work} holds a run that was stopped. Go on with --resume, or drop it and begin again with --overwrite."
        )


def describe_run(options: TrainOptions, hashes: Mapping[str, str], *, n_processes: int) -> dict[str, Any]:
    """Say what a run is, so that a resume can be held against it.

    Args:
        options: Of the run.
        hashes: Name of each input -> its SHA-256.
        n_processes: Processes that share the batches.

    Returns:
        The contents of `run.json`.
    """
    compared = {name: value for name, value in options.to_json().items() if name not in NOT_COMPARED}
    processes = {"count": n_processes, "multiplies_in": precision_of(options)}
    return {"options": compared, "inputs": dict(hashes), "processes": processes}


def begin_or_resume(options: TrainOptions, run: dict[str, Any]) -> Path | None:
    """Make the work folder, or find where to go on; `check_run` was asked before.

    Args:
        options: Of the run.
        run: Of `describe_run`.

    Returns:
        Trainer's checkpoint to go on from, or None for a new run.

    Raises:
        TrainingError: The stopped run had other options or data.
    """
    work = work_folder(options.output)
    if not options.resume:
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        (work / RUN).write_text(json.dumps(run, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        return None
    try:
        before = json.loads((work / RUN).read_bytes())
        changes = [
            f"{name} was {before[part].get(name)!r}, is {now.get(name)!r}"
            for part, now in run.items()
            for name in sorted({*now, *before[part]})
            if before[part].get(name) != now.get(name)
        ]
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise TrainingError(f"{work / RUN} is missing or damaged. Begin again with --overwrite.") from error
    if changes:
        raise TrainingError(
            f"{work} cannot be resumed, as the run has changed: {'; '.join(changes)}. "
            "Run the same command with --resume, or begin again with --overwrite."
        )
    return last_checkpoint(work)


@contextlib.contextmanager
def disk_faults(folder: Path) -> Iterator[None]:
    """Tell a full disk, which each library reports in its own way, as what it is.

    Args:
        folder: Where the block writes.

    Yields:
        Nothing.

    Raises:
        OutputError: A file could not be written.
    """
    try:
        yield
    except MedclfError:
        raise
    except (OSError, SafetensorError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not any(name in str(error) for name in TORCH_WRITERS):
            raise
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error).splitlines()[0]
        raise OutputError(
            f"{folder} cannot be written ({reason}). A run needs room for about 10 times the size of the model. "
            "Free some space, then run the same command; with --resume if it was saved before."
        ) from error
