"""Finds and loads libmedclf, and declares the part of its C ABI that is used (`native/include/medclf/medclf.h`)."""

import ctypes
from collections.abc import Callable
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from medclf.errors import (
    BundleError,
    BundleVersionError,
    ExtraError,
    InputError,
    IntegrityError,
    MedclfError,
    OptionError,
    ProviderError,
    SessionError,
)

ABI_VERSION = 1
ERRORS: tuple[type[Exception], ...] = (  # by medclf_status
    MedclfError, OptionError, InputError, BundleError, BundleVersionError, IntegrityError, ProviderError, SessionError,
    MemoryError,
)  # fmt: skip


class Options(ctypes.Structure):
    """`medclf_options`."""

    _fields_ = (
        ("struct_size", ctypes.c_size_t),
        ("precision", ctypes.c_int32),
        ("mode", ctypes.c_int32),
        ("threads", ctypes.c_int32),
        ("max_batch_tokens", ctypes.c_int32),
        ("runtime", ctypes.c_char_p),
    )


class Text(ctypes.Structure):
    """`medclf_text`."""

    _fields_ = (("data", ctypes.c_char_p), ("size", ctypes.c_size_t))


class Results(ctypes.Structure):
    """`medclf_results`."""

    _fields_ = (
        ("struct_size", ctypes.c_size_t),
        ("probabilities", ctypes.c_void_p),
        ("logits", ctypes.c_void_p),
        ("decisions", ctypes.c_void_p),
        ("n_tokens", ctypes.c_void_p),
        ("faults", ctypes.c_void_p),
        ("abstained", ctypes.c_void_p),
        ("n_cut", ctypes.c_void_p),
        ("n_windows", ctypes.c_void_p),
    )


def library_path() -> Path:
    """Find libmedclf in this installation.

    Returns:
        Its path.

    Raises:
        ExtraError: It is not there: medclf was installed where no C++ compiler was, or is run from its sources.
    """
    folder = resources.files("medclf") / "_native"  # not __file__: an editable install keeps it elsewhere
    if folder.is_dir():
        for file in folder.iterdir():
            if file.name.startswith("libmedclf."):
                return Path(str(file))
    raise ExtraError(
        "this medclf has no libmedclf: it was installed without a C++ compiler, or is run from its sources. "
        "Install a compiler (Debian, Ubuntu: apt install g++) and medclf again, or use medclf.runtime."
    )


def onnxruntime_path() -> Path | None:
    """Find the shared library of the installed onnxruntime, without importing it.

    Returns:
        Its path, or None where onnxruntime is not installed: libmedclf then looks for one itself.
    """
    package = find_spec("onnxruntime")
    if package is None or package.origin is None:
        return None
    folder = Path(package.origin).parent / "capi"
    found = [*folder.glob("libonnxruntime.so*"), *folder.glob("libonnxruntime.*.dylib")]
    return min(found, default=None)


def load_library(path: Path) -> ctypes.CDLL:
    """Load libmedclf.

    Args:
        path: The shared library.

    Returns:
        The library, its functions declared.

    Raises:
        ExtraError: It cannot be loaded, or is of another version.
    """
    try:
        library = ctypes.CDLL(str(path))
    except OSError as error:
        raise ExtraError(f"{path} cannot be loaded: {error}. Install medclf again.") from error
    library.medclf_abi_version.restype = ctypes.c_uint32
    if library.medclf_abi_version() != ABI_VERSION:
        raise ExtraError(f"{path} is of another version than this medclf. Install medclf again.")
    pointer, size = ctypes.c_void_p, ctypes.c_size_t
    functions: dict[str, tuple[Any, list[Any]]] = {
        "medclf_open": (ctypes.c_int, [ctypes.c_char_p, pointer, pointer]),
        "medclf_close": (None, [pointer]),
        "medclf_classify": (ctypes.c_int, [pointer, pointer, pointer, size, pointer]),
        "medclf_encode": (ctypes.c_int, [pointer, pointer, pointer, pointer, size, pointer]),
        "medclf_n_labels": (size, [pointer]),
        "medclf_label": (ctypes.c_char_p, [pointer, size]),
        "medclf_multi_label": (ctypes.c_int, [pointer]),
        "medclf_max_length": (size, [pointer]),
        "medclf_precision_taken": (ctypes.c_char_p, [pointer]),
        "medclf_fault_reason": (ctypes.c_char_p, [ctypes.c_int32]),
        "medclf_last_error": (ctypes.c_char_p, []),
    }
    for name, (result, arguments) in functions.items():
        function: Callable[..., Any] = getattr(library, name)
        function.restype, function.argtypes = result, arguments  # type: ignore[attr-defined]
    return library


def check(library: ctypes.CDLL, status: int) -> None:
    """Raise the error of a call that failed.

    Args:
        library: libmedclf.
        status: What the call returned, a `medclf_status`.
    """
    if status:
        kind = ERRORS[status] if status < len(ERRORS) else MedclfError
        raise kind(library.medclf_last_error().decode("utf-8", "replace"))
