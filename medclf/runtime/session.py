"""One ONNX Runtime session with the options that suit texts of free length: bytes in, logits out.

Knows nothing of files, texts and labels. `run` may be called from many threads at once: ONNX Runtime lets go of the
GIL, and the weights are held once.
"""

import json
import logging
import os
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast

from medclf.errors import BundleError, MedclfError, ProviderError, SessionError
from medclf.extras import require
from medclf.labels import Floats
from medclf.runtime.buckets import Buckets
from medclf.runtime.cuda import CAPTURE, missing, provider_options, run_bound
from medclf.runtime.fixed_shapes import FixedShapes
from medclf.tokenizer import Batch, Ids

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
PROVIDERS = {"cpu": CPU, "cuda": CUDA}
KNOWN_INPUTS = {"input_ids", "attention_mask", "token_type_ids"}
OUTPUT = "logits"
NOWHERE = f"{os.devnull}/none"  # a path below what is no folder

logger = logging.getLogger(__name__)


class Session:
    """A model that is open; safe to share between threads, not between processes.

    Attributes:
        provider: Where the model runs, `cpu` or `cuda`.
        n_labels: Width of the logits.
        run_s: Seconds of all runs so far, those of several threads added up.
    """

    provider: str
    n_labels: int
    run_s: float

    def __init__(  # noqa: PLR0913 - the options of ONNX Runtime that matter here, each by its name
        self,
        model: bytes | Path,
        *,
        data: Mapping[str, bytes] | None = None,
        provider: str = "cpu",
        threads: int = 1,
        cuda_memory_mb: int | None = None,
        buckets: Buckets | None = None,
        name: str = "model",
    ) -> None:
        """Open a model.

        Args:
            model: Contents of an ONNX file, checked by the caller against its hash; or the path of one that the caller
                has just written.
            data: Name of each file of weights that the model refers to -> its contents, checked likewise.
            provider: `cpu` or `cuda`; which of them to take is decided in `opening.py`.
            threads: Threads of one `run`; calls from several threads add up.
            cuda_memory_mb: Most megabytes of the arena on CUDA; None for no limit.
            buckets: The shapes to run at, for a model whose shapes follow from those of its inputs; on CUDA each
                becomes a CUDA graph. None for every shape as it comes.
            name: What messages call the model, such as its path.

        Raises:
            ExtraError: onnxruntime is not installed.
            ProviderError: The provider is unknown, or was asked for and not obtained.
            OptionError: The limit is not positive.
            BundleError: The model cannot be opened, or has not the inputs and outputs of a classifier.
        """
        self._name = name
        self._pid = os.getpid()
        cuda = provider_options(cuda_memory_mb, cuda_graphs=buckets is not None)
        self._session: Any = _open(model, data or {}, provider, name, _options(threads), cuda=cuda)
        self.provider = provider
        self._inputs, self.n_labels = _signature(self._session, name)
        self._fixed: FixedShapes | None = None
        if buckets is not None:
            self._fixed = FixedShapes(self._session, buckets, output=OUTPUT, n_labels=self.n_labels, device=provider)
        self.run_s, self._lock = 0.0, threading.Lock()

    def run(self, batch: Batch) -> Floats:
        """Run the model once.

        Args:
            batch: Texts padded on the right.

        Returns:
            Logits, float32 [batch, labels].

        Raises:
            BundleError: The model failed; the message says on which shape, never on what.
            InputError: A text is longer than the widest bucket.
            SessionError: It was closed, or carried through a fork.
        """
        start = time.perf_counter()
        try:
            session = self.check()
            call = self._fixed.run if self._fixed else partial(_call, session, self.provider)
            return _run(call, self._inputs, batch, self._name)
        finally:
            with self._lock:
                self.run_s += time.perf_counter() - start

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
        if self._fixed:
            self._fixed.close()


class Operator(NamedTuple):
    """A kind of node as ONNX Runtime ran it, after its own optimisation.

    Attributes:
        name: The operator, such as `MatMulIntegerToFloat`.
        provider: Where it ran, `cpu` or `cuda`.
        output: Type of its first output, such as `float`.
    """

    name: str
    provider: str
    output: str


def operators(
    model: bytes, batch: Batch, *, data: Mapping[str, bytes] | None = None, provider: str = "cpu", name: str = "model"
) -> Counter[Operator]:
    """Count what ONNX Runtime runs for a batch: its profile names each node, and holds shapes and times but no values.

    Args:
        model: Contents of an ONNX file.
        batch: Texts padded on the right.
        data: As for `Session`.
        provider: `cpu` or `cuda`.
        name: What messages call the model.

    Returns:
        Nodes of each kind.

    Raises:
        ProviderError: The provider is unknown, or was asked for and not obtained.
        BundleError: The model cannot be opened, or failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        session = _open(model, data or {}, provider, name, _options(1, profile=Path(folder, "profile")))
        _run(partial(_call, session, provider), _signature(session, name)[0], batch, name)
        events = json.loads(Path(session.end_profiling()).read_bytes())
    nodes = [event for event in events if event.get("cat") == "Node" and event["name"].endswith("_kernel_time")]
    return Counter(_operator(node["args"]) for node in nodes)


def _operator(event: Mapping[str, Any]) -> Operator:
    short = {long: provider for provider, long in PROVIDERS.items()}
    (output, *_) = [one for types in event["output_type_shape"] for one in types] or [""]
    return Operator(event["op_name"], short.get(event["provider"], event["provider"]), output)


def cuda_built_in() -> bool:
    """Say whether the installed onnxruntime was built with CUDA; whether CUDA starts is another matter.

    Returns:
        True for onnxruntime-gpu.

    Raises:
        ExtraError: onnxruntime is not installed.
    """
    return CUDA in require("onnxruntime", extra="cpu").get_available_providers()


def _call(session: Any, provider: str, feed: Mapping[str, Ids]) -> Floats:
    if provider == "cuda":
        return run_bound(session, feed, OUTPUT, provider)
    return cast(Floats, session.run([OUTPUT], feed)[0])


def _run(call: Callable[[Mapping[str, Ids]], Floats], inputs: Sequence[str], batch: Batch, name: str) -> Floats:
    every = batch.feed()
    feed = {one: every[one] for one in inputs}
    try:
        return call(feed)
    except MedclfError:
        raise
    except Exception as error:  # the classes of ONNX Runtime share no base; their messages may hold token ids
        rows, columns = batch.input_ids.shape
        raise BundleError(
            f"{name} failed on a batch of {rows} x {columns} tokens ({type(error).__name__}). "
            "Is there memory left, and does medclf-verify pass?"
        ) from None


def _open(
    model: bytes | Path,
    data: Mapping[str, bytes],
    provider: str,
    name: str,
    options: Any,
    *,
    cuda: Mapping[str, str] | None = None,
) -> Any:
    if provider not in PROVIDERS:
        raise ProviderError(f"provider is {provider!r}, expected one of {', '.join(PROVIDERS)}.")
    onnxruntime = require("onnxruntime", extra="cpu")
    if provider == "cuda" and not cuda_built_in():
        raise ProviderError(
            f"provider cuda: the onnxruntime {onnxruntime.__version__} of this machine was built without CUDA. "
            "Get one that has it: pip uninstall onnxruntime && pip install 'medclf[gpu]'"
        )
    wanted = (PROVIDERS[provider], (cuda or provider_options()) if provider == "cuda" else {})
    if data:
        _add_data(onnxruntime, options, data, name)
    session = _create(onnxruntime, model, options, wanted, name)
    if session.get_providers()[0] != PROVIDERS[provider]:  # ONNX Runtime falls back to the CPU in silence
        raise ProviderError(
            f"provider {provider}: onnxruntime {onnxruntime.__version__} was built with it and could not start it. "
            f"{missing(onnxruntime)} It needs the driver, CUDA and cuDNN of the versions that its documents name."
        )
    logger.debug("%s runs on %s, %d thread(s) a call", name, provider, options.intra_op_num_threads)
    return session


def _options(threads: int, *, profile: Path | None = None) -> Any:
    onnxruntime = require("onnxruntime", extra="cpu")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads  # the default is every core of the host, whatever the cgroup allows
    options.inter_op_num_threads = 1
    options.enable_mem_pattern = False  # it keeps one plan for each shape, and free lengths give endless shapes
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 4  # errors are raised; logged, they could show token ids
    # Threads of a run spin while they wait for each other, as waking one takes longer than most operators of a short
    # text; they stop with the run: idle threads leave the cores to others.
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if threads > 1 else "0")
    options.add_session_config_entry("session.force_spinning_stop", "1")
    # Weights outside the file that were not hashed would be looked for in the current folder: send it nowhere.
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", NOWHERE)
    if profile is not None:
        options.enable_profiling, options.profile_file_prefix = True, str(profile)
    return options


def _add_data(onnxruntime: Any, options: Any, data: Mapping[str, bytes], name: str) -> None:
    if not hasattr(options, "add_external_initializers_from_files_in_memory"):
        raise BundleError(
            f"{name} keeps its weights in a second file, which onnxruntime {onnxruntime.__version__} cannot take from "
            "memory, where it was checked. Update onnxruntime: 1.23 can."
        )
    contents = list(data.values())
    options.add_external_initializers_from_files_in_memory(list(data), contents, [len(one) for one in contents])


def _create(
    onnxruntime: Any, model: bytes | Path, options: Any, provider: tuple[str, Mapping[str, str]], name: str
) -> Any:
    try:
        with CAPTURE if provider[0] == CUDA else nullcontext():
            session = onnxruntime.InferenceSession(model, options, providers=[provider])
    except Exception as error:  # the classes of ONNX Runtime share no base
        graphs = "With CUDA graphs, ONNX Runtime refuses a model that needs more than CUDA: try without cuda_graphs. "
        raise BundleError(
            f"{name} cannot be opened by onnxruntime {onnxruntime.__version__} ({type(error).__name__}). "
            f"{graphs if 'enable_cuda_graph' in provider[1] else ''}"
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
