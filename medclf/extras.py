"""Optional packages: imported where they are needed, with the pip command where they are missing."""

import importlib
from types import ModuleType

from medclf.errors import ExtraError


def require(module: str, *, extra: str) -> ModuleType:
    """Import a module of an extra.

    Args:
        module: Name as in an import statement, such as `onnxruntime`.
        extra: The extra of this package that installs it, such as `cpu`.

    Returns:
        The module.

    Raises:
        ExtraError: The module is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not (module == error.name or module.startswith(error.name + ".")):
            raise  # the module is there and misses something of its own
        raise ExtraError(f"{module} is not installed. Install it with: pip install 'medclf[{extra}]'") from error
