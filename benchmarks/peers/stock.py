"""Peer: ONNX Runtime's own way, fp32 or INT8; see `stock_export.py`. Needs onnxruntime, onnx, torch, transformers."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnxruntime
import transformers

from peers import stock_export
from peers.worker import Job, Peer, Run, Text, in_batches, pad, serve


def load(job: Job) -> Peer:
    fp32, int8 = job.folder / "stock_fp32.onnx", job.folder / "stock_int8.onnx"
    stock_export.optimize(job.folder / "raw.onnx", transformers.AutoConfig.from_pretrained(job.checkpoint), fp32)
    stock_export.quantize(fp32, int8)
    runs = {
        f"1 x {job.cores}": in_batches(run_on(int8, job.cores)),
        f"{job.cores} x 1": in_batches(run_on(int8, 1), callers=job.cores),
    }
    return Peer(int8.stat().st_size, runs, {"onnxruntime": onnxruntime.__version__})


def run_on(path: Path, threads: int) -> Run:
    session = stock_export.open_session(path, threads)

    def run(texts: Sequence[Text]) -> Any:
        return session.run(None, pad(texts))[0]

    return run


if __name__ == "__main__":
    serve(load)
