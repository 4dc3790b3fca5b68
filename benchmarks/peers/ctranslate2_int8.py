"""Peer: CTranslate2's BERT encoder in INT8; the classification layer after the pooler in numpy.

pip install ctranslate2 torch "transformers<5"      # the last two for its converter, which reads what 5 has dropped
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ctranslate2
import numpy as np
from ctranslate2.converters import TransformersConverter
from safetensors.numpy import load_file

from peers.worker import Job, Peer, Run, Text, in_batches, serve


def load(job: Job) -> Peer:
    folder = job.folder / "ctranslate2_int8"
    TransformersConverter(str(job.checkpoint)).convert(str(folder), quantization="int8")
    state = load_file(job.checkpoint / "model.safetensors")
    head = state["classifier.weight"], state["classifier.bias"]
    runs = {
        f"1 x {job.cores}": in_batches(run_on(folder, head, calls=1, threads=job.cores)),
        f"{job.cores} x 1": in_batches(run_on(folder, head, calls=job.cores, threads=1), callers=job.cores),
    }
    size = (folder / "model.bin").stat().st_size + sum(part.nbytes for part in head)
    return Peer(size, runs, {"ctranslate2": ctranslate2.__version__})


def run_on(folder: Path, head: tuple[Any, Any], *, calls: int, threads: int) -> Run:
    encoder = ctranslate2.Encoder(
        str(folder), device="cpu", compute_type="int8", inter_threads=calls, intra_threads=threads
    )

    def run(texts: Sequence[Text]) -> Any:
        ids, types = (
            [np.asarray(getattr(one, key)).tolist() for one in texts] for key in ("input_ids", "token_type_ids")
        )
        pooled = np.array(encoder.forward_batch(ids, token_type_ids=types).pooler_output)
        return pooled @ head[0].T + head[1]

    return run


if __name__ == "__main__":
    serve(load)
