"""medclf: a model of the bundle, with the runtime's own schedule. Needs medclf[cpu]."""

from collections.abc import Sequence
from typing import Any

import onnxruntime

import medclf
from medclf.bundle import read_manifest, read_verified
from medclf.runtime.runner import Runner
from medclf.runtime.session import Session
from medclf.tokenizer import Encoded, TextEncoder
from peers.worker import Job, Peer, Text, serve


def load(job: Job) -> Peer:
    bundle = job.checkpoint.parent / "bundle"
    manifest = read_manifest(bundle)
    data = read_verified(bundle, manifest, manifest.models[job.precision].file)
    tokenizer_json = read_verified(bundle, manifest, "tokenizer.json").decode()
    encoder = TextEncoder(tokenizer_json, max_length=manifest.max_length)
    runner = Runner(Session(data), encoder, multi_label=manifest.labels.multi_label, n_callers=job.cores)

    def run(texts: Sequence[Text]) -> Any:
        return runner.logits([Encoded(one.input_ids, one.token_type_ids, len(one)) for one in texts])

    versions = {"medclf": medclf.__version__, "onnxruntime": onnxruntime.__version__}
    return Peer(len(data), {f"{job.cores} x 1": run}, versions)


if __name__ == "__main__":
    serve(load)
