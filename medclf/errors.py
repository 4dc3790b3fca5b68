"""The one tree of errors. A message says what, where, what was got, what was expected and what to do.

    MedclfError
    ├── DataError               a table: its file, row and column          (also a ValueError)
    ├── OptionError             an option, or two that exclude each other  (also a ValueError)
    ├── OutputError             a file or folder that cannot be written    (also an OSError)
    ├── ExtraError              a package that is not installed            (also an ImportError)
    ├── CheckpointError         a folder that training wrote, or should have
    ├── TrainingError           a run that cannot go on, or cannot be resumed
    ├── ExportError             a model that cannot be exported
    │   └── GateError           an exported model that did not pass a gate
    ├── BundleError             a folder that is not a bundle
    │   ├── BundleVersionError  a bundle of a schema that this version does not read
    │   └── IntegrityError      a file that is missing, or is not the one that was exported
    ├── ProviderError           an execution provider that was asked for and not obtained
    ├── SessionError            a model that was closed, or carried through a fork (also a RuntimeError)
    ├── ClusterError            workers that cannot start, are not alike, or die
    ├── InputError              a text that cannot be classified           (also a ValueError)
    └── RequestError            a request that a server refused, or could not answer

No message ever holds a piece of a text: a row number and a length are enough to find it.
"""

import traceback
from pathlib import Path


class MedclfError(Exception):
    """Any error that medclf raises on purpose; a command prints it in one line and exits with 1."""


class DataError(MedclfError, ValueError):
    """A table that cannot be used; names the file, the row and the column."""


class OptionError(MedclfError, ValueError):
    """An option out of its range, or options that exclude each other."""


class OutputError(MedclfError, OSError):
    """A file or folder that cannot be written: it exists, or the disk is full."""


class ExtraError(MedclfError, ImportError):
    """A package of an extra that is not installed; gives the pip command."""


class CheckpointError(MedclfError):
    """A folder that is not a checkpoint, or one that this step cannot use."""


class TrainingError(MedclfError):
    """A training run that cannot go on, or that cannot be resumed."""


class ExportError(MedclfError):
    """A checkpoint that cannot be exported; nothing is written."""


class GateError(ExportError):
    """An exported model that did not pass a gate; nothing is written."""


class BundleError(MedclfError):
    """A folder that is not a bundle, or whose manifest cannot be read."""


class BundleVersionError(BundleError):
    """A bundle of a schema version that this medclf does not read."""


class IntegrityError(BundleError):
    """A file of a bundle that is missing, or whose size or hash is not the manifest's."""


class ProviderError(MedclfError):
    """An execution provider that was asked for and not obtained."""


class SessionError(MedclfError, RuntimeError):
    """A model that was closed, or that was opened in another process; load it again here."""


class ClusterError(MedclfError):
    """Workers that cannot start, do not run what the driver runs, or die; names the machine."""


class InputError(MedclfError, ValueError):
    """A text that cannot be classified; names its row number and length, never the text."""


class RequestError(MedclfError):
    """A request that a server refused, or could not answer; raised by the server and by `medclf.client`.

    Attributes:
        status: The HTTP status; 0 where no answer came.
        error_type: The kind of error, as text-embeddings-inference names kinds, such as `Validation`.
        retry_after_s: Seconds after which another try is worth it; None where none is.
    """

    status: int
    error_type: str
    retry_after_s: float | None

    def __init__(
        self, message: str, *, status: int = 400, error_type: str = "Validation", retry_after_s: float | None = None
    ) -> None:
        """Refuse, or tell of a refusal.

        Args:
            message: What is wrong; never a piece of the request.
            status: The HTTP status; 0 where no answer came.
            error_type: The kind of error.
            retry_after_s: Seconds after which another try is worth it; None where none is.
        """
        super().__init__(message)
        self.status = status
        self.error_type = error_type
        self.retry_after_s = retry_after_s


def place_of(bug: BaseException) -> str:
    """Say what a bug is and where, never what it says: its words could quote a text.

    Args:
        bug: An exception that was caught.

    Returns:
        Such as `ValueError at rows.py:12`.
    """
    frame = traceback.extract_tb(bug.__traceback__)[-1]
    return f"{type(bug).__name__} at {Path(frame.filename).name}:{frame.lineno}"
