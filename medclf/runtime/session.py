"""One ONNX Runtime session with the options that suit texts of free length: bytes in, logits out.

Knows nothing of files, texts and labels. `run` may be called from many threads at once: ONNX Runtime lets go of the
GIL, and the weights are held once.
"""

import logging
import os
from typing import Any, cast

from medclf.errors import BundleError, ProviderError, SessionError
from medclf.extras import require
from medclf.labels import Floats
from medclf.tokenizer import Batch

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
PROVIDERS = ("auto", "cpu", "cuda")
KNOWN_INPUTS = {"input_ids", "attention_mask", "token_type_ids"}
OUTPUT = "logits"

logger = logging.getLogger(__name__)


class Session:
    """A model that is open; safe to share between threads, not between processes.

    Attributes:
        provider: Where the model runs, `cpu` or `cuda`: what was obtained, whatever was asked for.
        n_labels: Width of the logits.
    """

    def __init__(self, model: bytes, *, provider: str = "cpu", threads: int = 1, name: str = "model") -> None:
        """Open a model.

        Args:
            model: Contents of an ONNX file, checked by the caller against its hash.
            provider: `cpu`, `cuda`, or `auto` for CUDA where it can be had and else the CPU.
            threads: Threads of one `run`; calls from several threads add up.
            name: What messages call the model, such as its path.

        Raises:
            ExtraError: onnxruntime is not installed.
            ProviderError: The provider is unknown, or was asked for and not obtained.
            BundleError: The model cannot be opened, or has not the inputs and outputs of a classifier.
        """
        self._name = name
        self._pid = os.getpid()
        self._session: Any = _open(model, provider, threads, name)
        self.provider = "cuda" if self._session.get_providers()[0] == CUDA else "cpu"
        self._inputs, self.n_labels = _signature(self._session, name)

    def run(self, batch: Batch) -> Floats:
        """Run the model once.

        Args:
            batch: Texts padded on the right.

        Returns:
            Logits, float32 [batch, labels].

        Raises:
            BundleError: The model failed; the message says on which shape, never on what.
        """
        session = self.check()
        feed = batch.feed()
        try:
            return cast(Floats, session.run([OUTPUT], {name: feed[name] for name in self._inputs})[0])
        except Exception as error:  # the classes of ONNX Runtime share no base; their messages may hold token ids
            rows, columns = batch.input_ids.shape
            raise BundleError(
                f"{self._name} failed on a batch of {rows} x {columns} tokens ({type(error).__name__}). "
                "Is there memory left, and does medclf-verify pass?"
            ) from None

    def check(self) -> Any:
        """Make sure that the session can be used here and now.

        Returns:
            The session of ONNX Runtime.

        Raises:
            SessionError: It was closed, or this process was forked after it was opened.
        """
        if self._session is None:
            raise SessionError(f"{self._name} was closed. Load it again.")
        if os.getpid() != self._pid:
            raise SessionError(
                f"{self._name} was opened in process {self._pid} and does not survive a fork. "
                f"Load it in this process ({os.getpid()}), after the fork."
            )
        return self._session

    def close(self) -> None:
        """Free the model; runs that are under way end first."""
        self._session = None


def _open(model: bytes, provider: str, threads: int, name: str) -> Any:
    if provider not in PROVIDERS:
        raise ProviderError(f"provider {provider!r} is not known, expected one of {', '.join(PROVIDERS)}.")
    onnxruntime = require("onnxruntime", extra="cpu")
    wanted = [CPU] if provider == "cpu" else [CUDA]
    if provider != "cpu" and CUDA not in onnxruntime.get_available_providers():
        if provider == "cuda":
            raise ProviderError(
                f"provider cuda: the onnxruntime {onnxruntime.__version__} of this machine was built without CUDA. "
                "Install it with: pip uninstall onnxruntime && pip install 'medclf[gpu]'"
            )
        wanted = [CPU]
    session = _create(onnxruntime, model, wanted, threads, name)
    if wanted == [CUDA] and session.get_providers()[0] != CUDA:  # ONNX Runtime falls back in silence
        if provider == "cuda":
            raise ProviderError(
                "provider cuda: onnxruntime was built with CUDA and could not start it. Are the driver, CUDA and cuDNN "
                f"of the versions that onnxruntime {onnxruntime.__version__} needs, and is a GPU visible?"
            )
        logger.warning("provider auto: CUDA could not be started, %s runs on the CPU", name)
        session = _create(onnxruntime, model, [CPU], threads, name)
    logger.info("%s runs on %s with %d thread(s) a call", name, session.get_providers()[0], threads)
    return session


def _create(onnxruntime: Any, model: bytes, providers: list[str], threads: int, name: str) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads  # the default is every core of the host, whatever the cgroup allows
    options.inter_op_num_threads = 1
    options.enable_mem_pattern = False  # it keeps one plan for each shape, and free lengths give endless shapes
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3  # errors
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # idle threads leave the cores to others
    try:
        session = onnxruntime.InferenceSession(model, options, providers=providers)
    except Exception as error:  # the classes of ONNX Runtime share no base
        raise BundleError(
            f"{name} cannot be opened by onnxruntime {onnxruntime.__version__} ({type(error).__name__}). "
            "Use the onnxruntime that the bundle was exported with or a newer one, or export the bundle again."
        ) from None
    session.disable_fallback()
    return session


def _signature(session: Any, name: str) -> tuple[list[str], int]:
    inputs = [one.name for one in session.get_inputs()]
    unknown = sorted(set(inputs) - KNOWN_INPUTS)
    if unknown or not {"input_ids", "attention_mask"} <= set(inputs):
        raise BundleError(
            f"{name} has the inputs {', '.join(sorted(inputs))}, expected input_ids, attention_mask and at most "
            "token_type_ids. Export it with medclf-export."
        )
    shapes = {one.name: one.shape for one in session.get_outputs()}
    shape = shapes.get(OUTPUT)
    if shape is None or len(shape) != 2 or not isinstance(shape[1], int):
        raise BundleError(f"{name} has no output {OUTPUT} [batch, labels]. Export it with medclf-export.")
    return inputs, shape[1]
