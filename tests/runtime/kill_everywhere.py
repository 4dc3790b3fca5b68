"""A program: kills a run at each of its steps in the file system, resumes it, and compares with a run left alone.

    python kill_everywhere.py INPUT OUTPUT ON_ERROR

Each run is a process of its own, ended by SIGKILL from an audit hook at the n-th event that touches the output or its
work folder, for n = 0, 1, 2, ... until a run gets to its end. Prints how many were killed, and how many of those had
committed rows.
"""

import json
import os
import signal
import sys
from pathlib import Path

from stub import StubClassifier

from medclf.runtime import windows
from medclf.runtime.predict_file import predict_file
from medclf.runtime.predict_options import PredictOptions
from medclf.runtime.work import work_folder

EVENTS = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree"}


def run(options: dict[str, object], *, steps: int | None = None) -> int:
    """Run in a child that is killed after some steps, and give how it ended."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if steps is not None:
        kill_after(steps, str(options["target"]))
    try:
        predict_file(StubClassifier(), PredictOptions(**options))
    except BaseException as error:
        sys.stderr.write(f"{type(error).__name__} {error}\n")
        os._exit(1)
    os._exit(0)


def kill_after(steps: int, target: str) -> None:
    left = [steps]

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event in EVENTS and any(target in str(argument) for argument in arguments):
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)
            left[0] -= 1

    sys.addaudithook(hook)


def outputs(options: dict[str, object]) -> dict[str, bytes]:
    folder = Path(str(options["target"])).parent
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def nothing_to_resume(options: dict[str, object]) -> bool:
    target = Path(str(options["target"]))
    return target.exists() and not {path.name for path in work_folder(target).iterdir()} - {"run.json"}


def main(source: str, target: str, on_error: str) -> None:
    windows.WINDOW_TEXTS = 7
    os.fsync = lambda _: None  # against a loss of power, which this does not try, and slow
    if target.endswith(".parquet"):
        import pyarrow.parquet  # noqa: F401  once, not in each child
    name = Path(target).name
    options = {"source": Path(source), "keep": ("id",), "on_error": on_error}
    alone = {**options, "target": Path(target).parent / "alone" / name}
    assert run(alone) == 0
    expected = outputs(alone)
    steps, committed = 0, 0
    while True:
        mine = {**options, "target": Path(target).parent / f"killed{steps}" / name}
        ended = run(mine, steps=steps)
        if ended == 0:
            break
        assert ended == -signal.SIGKILL, (steps, ended)
        committed += (work_folder(Path(str(mine["target"]))) / "000000.json").exists()
        whole = nothing_to_resume(mine)  # killed in its last steps: the output is there
        assert run({**mine, "resume": True}) == whole, steps
        assert outputs(mine) == expected, (steps, outputs(mine).keys())
        assert whole or not work_folder(Path(str(mine["target"]))).exists(), steps
        steps += 1
    sys.stdout.write(json.dumps({"killed": steps, "with_commits": committed}))


if __name__ == "__main__":
    main(*sys.argv[1:])
