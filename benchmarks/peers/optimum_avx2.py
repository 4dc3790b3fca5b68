"""Peer: Optimum's exporter, its `avx2` preset of dynamic INT8, and its model class.

pip install 'optimum-onnx[onnxruntime]' torch      # pins transformers below 4.58: an environment of its own
"""

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import onnxruntime
from optimum.onnxruntime import ORTModelForSequenceClassification, ORTQuantizer
from optimum.onnxruntime.configuration import AutoQuantizationConfig

from peers.worker import Job, Peer, Run, Text, in_batches, pad, serve

PACKAGES = ("optimum", "optimum-onnx", "onnxruntime", "transformers")


def load(job: Job) -> Peer:
    fp32, int8 = job.folder / "optimum_fp32", job.folder / "optimum_int8"
    ORTModelForSequenceClassification.from_pretrained(job.checkpoint, export=True).save_pretrained(fp32)
    preset = AutoQuantizationConfig.avx2(is_static=False)
    ORTQuantizer.from_pretrained(fp32).quantize(save_dir=int8, quantization_config=preset)

    def run_on(threads: int) -> Run:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # ways take turns
        model = ORTModelForSequenceClassification.from_pretrained(
            int8, file_name="model_quantized.onnx", session_options=options
        )

        def run(texts: Sequence[Text]) -> Any:
            return model(**pad(texts)).logits

        return run

    runs = {
        f"1 x {job.cores}": in_batches(run_on(job.cores)),
        f"{job.cores} x 1": in_batches(run_on(1), callers=job.cores),
    }
    size = (int8 / "model_quantized.onnx").stat().st_size
    return Peer(size, runs, {name: version(name) for name in PACKAGES})


if __name__ == "__main__":
    serve(load)
