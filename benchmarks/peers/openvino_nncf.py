"""Peer: OpenVINO with NNCF's INT8 post-training quantization, calibrated on rows of the training part.

    pip install openvino nncf

As its documents say: `convert_model` of the ONNX file, `nncf.quantize` with the model type of transformers and its
default of 300 calibration texts, then one stream of all cores, or one stream a core with an asynchronous queue.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nncf
import numpy as np
import openvino

from peers.worker import Job, Peer, Run, Text, in_batches, pad, serve, sorted_batches

N_CALIBRATION = 300


def load(job: Job) -> Peer:
    model = openvino.convert_model(job.folder / "raw.onnx")
    calibration = nncf.Dataset(job.texts("calibration")[:N_CALIBRATION], lambda text: pad([text]))
    int8 = nncf.quantize(model, calibration, model_type=nncf.ModelType.TRANSFORMER, subset_size=N_CALIBRATION)
    path = job.folder / "openvino_int8.xml"
    openvino.save_model(int8, path)
    runs = {f"1 x {job.cores}": one_stream(path, job.cores), f"{job.cores} x 1": many_streams(path, job.cores)}
    size = path.stat().st_size + path.with_suffix(".bin").stat().st_size
    return Peer(size, runs, {"openvino": openvino.__version__, "nncf": nncf.__version__})


def compiled(path: Path, *, streams: int, cores: int) -> Any:
    options = {"NUM_STREAMS": streams, "INFERENCE_NUM_THREADS": cores}
    return openvino.Core().compile_model(path, "CPU", options)


def one_stream(path: Path, cores: int) -> Run:
    model = compiled(path, streams=1, cores=cores)

    def run(texts: Sequence[Text]) -> Any:
        return model(pad(texts))[0].copy()

    return in_batches(run)


def many_streams(path: Path, cores: int) -> Run:
    queue = openvino.AsyncInferQueue(compiled(path, streams=cores, cores=cores), cores)

    def run_all(texts: Sequence[Text]) -> Any:
        batches, logits = sorted_batches(texts), {}
        queue.set_callback(lambda request, i: logits.update({i: request.get_output_tensor(0).data.copy()}))
        for i, batch in enumerate(batches):
            queue.start_async(pad([texts[row] for row in batch]), i)
        queue.wait_all()
        return np.concatenate([logits[i] for i in range(len(batches))])[np.argsort(np.concatenate(batches))]

    return run_all


if __name__ == "__main__":
    serve(load)
