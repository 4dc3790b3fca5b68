"""Runs of a session at the shapes of buckets, with input and output at fixed addresses: what a CUDA graph needs.

Knows nothing of texts and files. On CUDA, ONNX Runtime captures a graph in the first run of a bucket, after two plain
runs of its own, and from then on replays it. On a CPU the same runs without graphs, which is what the tests see; never
run on a GPU. Follows the documents of ONNX Runtime:
https://onnxruntime.ai/docs/execution-providers/CUDA-ExecutionProvider.html#using-cuda-graphs-in-the-cuda-ep
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from medclf.errors import SessionError
from medclf.extras import require
from medclf.labels import Floats
from medclf.runtime.buckets import Bucket, Buckets
from medclf.runtime.cuda import CAPTURE, graph_options
from medclf.tokenizer import Ids

MASK = "attention_mask"


class FixedShapes:
    """Calls one session from a thread of its own, one run at a time; safe to share between threads.

    One thread, as callers share the addresses, and as ONNX Runtime keeps the graphs that it captured by thread.
    """

    def __init__(self, session: Any, buckets: Buckets, *, output: str, n_labels: int, device: str) -> None:
        """Prepare it; nothing is bound before its bucket is needed.

        Args:
            session: A session of ONNX Runtime, with CUDA graphs where the device is `cuda`.
            buckets: The shapes.
            output: Name of the output.
            n_labels: Columns of the output.
            device: Where the session runs, `cuda` or `cpu`.
        """
        self._session = session
        self._buckets = buckets
        self._output, self._n_labels, self._device = output, n_labels, device
        self._bound: dict[Bucket, _Bound] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="medclf-shapes")

    def run(self, feed: Mapping[str, Ids]) -> Floats:
        """Run texts, in as many buckets as they take.

        Args:
            feed: Name -> int64 [batch, sequence], for each input of the session.

        Returns:
            float32 [batch, labels].

        Raises:
            InputError: A text is longer than the widest bucket.
            SessionError: It was closed.
        """
        try:
            run = self._thread.submit(self._run, feed)
        except RuntimeError:
            raise SessionError("the model was closed while it was asked. Load it again.") from None
        return run.result()

    def close(self) -> None:
        """End the thread, when the runs under way have ended, and free the model."""
        self._thread.shutdown()
        self._session = None
        self._bound.clear()

    def _run(self, feed: Mapping[str, Ids]) -> Floats:
        mask = feed[MASK]
        lengths = mask.shape[1] - np.argmax(mask[:, ::-1] != 0, axis=1)  # up to the last token
        logits = np.empty((len(mask), self._n_labels), dtype=np.float32)
        for texts, bucket in self._buckets.split(lengths.tolist()):
            part = {name: array[texts, : bucket.n_columns] for name, array in feed.items()}
            logits[texts] = self._bind(bucket).run(self._session, part)[: len(texts)]
        return logits

    def _bind(self, bucket: Bucket) -> "_Bound":
        if bucket not in self._bound:
            logits = self._array((bucket.n_rows, self._n_labels), np.float32)
            inputs = {one.name: self._array(bucket, np.int64) for one in self._session.get_inputs()}
            binding = self._session.io_binding()
            for name, value in inputs.items():
                binding.bind_ortvalue_input(name, value)
            binding.bind_ortvalue_output(self._output, logits)
            options = graph_options(self._buckets.all.index(bucket) + 1) if self._device == "cuda" else None
            self._bound[bucket] = _Bound(bucket, inputs, logits, binding, options)
        return self._bound[bucket]

    def _array(self, shape: tuple[int, int], dtype: type) -> Any:
        values = require("onnxruntime", extra="cpu").OrtValue
        return values.ortvalue_from_shape_and_type(shape, dtype, self._device, 0)


@dataclass(frozen=True)
class _Bound:
    """Input and output of one bucket, bound once."""

    bucket: Bucket
    inputs: Mapping[str, Any]
    logits: Any
    binding: Any
    run_options: Any

    def run(self, session: Any, feed: Mapping[str, Ids]) -> Floats:
        """Give the logits of every row of the bucket; on a CPU in the very memory that the next run overwrites."""
        for name, value in self.inputs.items():
            value.update_inplace(_pad(feed[name], self.bucket, empty=int(name == MASK)))
        with CAPTURE:
            session.run_with_iobinding(self.binding, self.run_options)
        return cast(Floats, self.logits.numpy())


def _pad(array: Ids, bucket: Bucket, *, empty: int) -> Ids:
    """Fill up to the shape of a bucket.

    Columns get 0: what stands where the mask is 0 does not reach the logits, which the gates of the export prove with
    random ids. A row that is no text is one token long, as attention to nothing would be NaN in some architectures.
    """
    n_rows, n_columns = array.shape
    padded = np.zeros(bucket, dtype=np.int64)
    padded[:n_rows, :n_columns] = array
    padded[n_rows:, 0] = empty
    return padded
