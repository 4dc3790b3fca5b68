"""Where a measurement was made: without it a figure means nothing."""

import os
import platform
from importlib import metadata
from typing import Any

from medclf import __version__
from medclf.runtime.cores import cpu_features, cpu_name, usable_cores

PACKAGES = ("numpy", "onnxruntime", "onnxruntime-gpu", "tokenizers", "torch", "transformers")


def environment() -> dict[str, Any]:
    """Describe this machine and its software.

    Returns:
        CPU, cores that may be used and that the host has, load average, and versions; None for what is not known.
    """
    return {
        "cpu": cpu_name(),
        "cpu_features": cpu_features(),
        "cores_usable": usable_cores(),
        "cores_host": os.cpu_count(),
        "load_average": list(os.getloadavg()) if hasattr(os, "getloadavg") else None,
        "system": f"{platform.system()} {platform.machine()}",
        "versions": {"medclf": __version__, "python": platform.python_version(), **_versions()},
    }


def _versions() -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = None
    return found
