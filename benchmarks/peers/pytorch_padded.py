"""The loop of most tutorials: PyTorch fp32, 16 texts at a time as they come, each padded to 512 tokens."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from peers.pytorch import run_on
from peers.worker import BATCH, Job, Peer, Text, serve

LENGTH = 512


def load(job: Job) -> Peer:
    run = run_on(job)

    def run_all(texts: Sequence[Text]) -> Any:
        return np.concatenate([run(texts[i : i + BATCH], LENGTH) for i in range(0, len(texts), BATCH)])

    size = (job.checkpoint / "model.safetensors").stat().st_size
    return Peer(size, {f"1 x {job.cores}": run_all}, {"torch": torch.__version__})


if __name__ == "__main__":
    serve(load)
