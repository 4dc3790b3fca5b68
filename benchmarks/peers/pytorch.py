"""Peer and reference: PyTorch fp32, sorted by length and padded to the longest. Needs torch and transformers."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import transformers

from peers.worker import Job, Peer, Text, in_batches, pad, serve


def load(job: Job) -> Peer:
    run = run_on(job)
    size = (job.checkpoint / "model.safetensors").stat().st_size
    return Peer(size, {f"1 x {job.cores}": in_batches(run)}, {"torch": torch.__version__})


def run_on(job: Job) -> Callable[..., Any]:
    """Runs one batch, padded to its longest text or to `length`."""
    torch.set_num_threads(job.cores)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(
        job.checkpoint, local_files_only=True, dtype=torch.float32
    ).eval()

    @torch.inference_mode()
    def run(texts: Sequence[Text], length: int | None = None) -> Any:
        feed = {name: torch.from_numpy(value) for name, value in pad(texts, length).items()}
        return model(**feed).logits.numpy()

    return run


if __name__ == "__main__":
    serve(load)
