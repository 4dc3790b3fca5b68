"""What is special about CUDA: its options, its input and output, and what is missing where it does not start.

Written by the documents of ONNX Runtime; never run on a GPU. How CUDA graphs are fed is in `fixed_shapes.py`.
"""

import ctypes
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from medclf.errors import OptionError
from medclf.extras import require
from medclf.labels import Floats
from medclf.tokenizer import Ids

LIBRARY = "libonnxruntime_providers_cuda.so"
DRIVER = "libcuda.so.1"
# Held while a CUDA graph may be captured, and while a session is opened: CUDA gives a capture up when another thread
# allocates.
CAPTURE = threading.RLock()


def provider_options(memory_mb: int | None = None, *, cuda_graphs: bool = False) -> dict[str, str]:
    """Give the options of the CUDA provider.

    The arena of ONNX Runtime doubles whenever it grows, and gives nothing back: of free lengths, it would keep far more
    than the largest batch needs. So it grows by what is asked for.

    Args:
        memory_mb: Most megabytes of the arena; None for all that the GPU has.
        cuda_graphs: Whether runs are captured as CUDA graphs.

    Returns:
        Name -> value, in the words of ONNX Runtime.

    Raises:
        OptionError: The limit is not positive.
    """
    options = {"arena_extend_strategy": "kSameAsRequested"}
    if cuda_graphs:
        options["enable_cuda_graph"] = "1"
    if memory_mb is None:
        return options
    if memory_mb < 1:
        raise OptionError(f"cuda_memory_mb is {memory_mb}, expected at least 1.")
    return {**options, "gpu_mem_limit": str(memory_mb * 2**20)}


def graph_options(graph_id: int) -> Any:
    """Give the options of a run that captures a CUDA graph, or replays it once it was captured.

    Args:
        graph_id: Number of the graph in its session, from 1 on: ONNX Runtime keeps 0 for itself, and -1 captures none.

    Returns:
        `RunOptions` of ONNX Runtime.
    """
    options = require("onnxruntime", extra="cpu").RunOptions()
    options.add_run_config_entry("gpu_graph_id", str(graph_id))
    return options


def missing(onnxruntime: Any) -> str:
    """Say what keeps CUDA from starting, as the loader of shared libraries tells it.

    Args:
        onnxruntime: The module.

    Returns:
        A sentence, which names the first library that is missing where one is.
    """
    for library in (str(Path(onnxruntime.__file__).parent / "capi" / LIBRARY), DRIVER):
        try:
            ctypes.CDLL(library)
        except OSError as error:
            name = str(error).partition(":")[0].rpartition("/")[2]
            if name != LIBRARY:  # its own name: not that it misses something, but that it is not there, as on Windows
                return f"{name} cannot be loaded."
    return "No library is missing: is a GPU visible to this process?"


def run_bound(session: Any, feed: Mapping[str, Ids], output: str, device: str) -> Floats:
    """Run with bound input and output, so that nothing is copied but once to the device and once back.

    Args:
        session: A session of ONNX Runtime.
        feed: Name -> int64 [batch, sequence].
        output: Name of the output.
        device: Where the output is computed, `cuda` or `cpu`.

    Returns:
        float32 [batch, labels].
    """
    binding = session.io_binding()  # one for each run: it must not be shared by threads
    for name, array in feed.items():
        binding.bind_cpu_input(name, array)
    binding.bind_output(output, device)
    session.run_with_iobinding(binding)
    return cast(Floats, binding.copy_outputs_to_cpu()[0])
