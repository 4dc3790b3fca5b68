"""medclf as a service embeds it: `Classifier`, from strings to labels, in each of its modes. Needs medclf[cpu]."""

from collections.abc import Sequence
from typing import Any

import onnxruntime

import medclf
from medclf.runtime import Classifier
from medclf.runtime.opening import MODES
from peers.worker import Classify, Job, Peer, serve


def load(job: Job) -> Peer:
    bundle = job.checkpoint.parent / "bundle"
    size = 0

    def classify_in(mode: str) -> Classify:
        nonlocal size
        classifier = Classifier.load(bundle, provider="cpu", precision=job.precision, mode=mode, threads=job.cores)
        size = (bundle / classifier.manifest.models[job.precision].file).stat().st_size

        def classify(strings: Sequence[str]) -> Any:
            return classifier.predict(list(strings))

        return classify

    classify = {mode: classify_in(mode) for mode in MODES}
    return Peer(size, {}, {"medclf": medclf.__version__, "onnxruntime": onnxruntime.__version__}, classify)


if __name__ == "__main__":
    serve(load)
