"""The bundles that are served, by name; a new version replaces an old one when it has been verified."""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from medclf.errors import MedclfError, OptionError, RequestError
from medclf.runtime import Classifier
from medclf.runtime.verify import check_golden

Load = Callable[[Path], Classifier]

logger = logging.getLogger(__name__)


@dataclass(eq=False)
class Model:
    """A bundle that is open. Counts who uses it, so that it is closed when it was replaced and the last one has gone.

    Attributes:
        name: What requests call it.
        classifier: What answers.
        loaded_at: When it was opened, seconds since 1970.
    """

    name: str
    classifier: Classifier
    loaded_at: float = field(default_factory=time.time)
    _n_users: int = 0
    _retired: bool = False

    def __enter__(self) -> "Model":
        """Use it for one request; call it in the thread of the event loop alone, like all that counts users."""
        self._n_users += 1
        return self

    def __exit__(self, *_: object) -> None:
        """End the use."""
        self._n_users -= 1
        self._close_if_free()

    def retire(self) -> None:
        """Close it when the last request that uses it has ended."""
        self._retired = True
        self._close_if_free()

    def _close_if_free(self) -> None:
        if self._retired and not self._n_users:
            self.classifier.close()


class Bundles:
    """Names and what answers for them."""

    def __init__(self, sources: Mapping[str, Path], load: Load) -> None:
        """Open every bundle.

        Args:
            sources: Name -> folder; the first is what a request without a name gets.
            load: Opens a folder, with the provider and precision of the server.

        Raises:
            OptionError: No bundle, or a name that cannot stand in an address.
            BundleError: A bundle is damaged, or does not answer as it did at export.
        """
        if not sources:
            raise OptionError("no bundle: give at least one with --bundle.")
        wrong = [name for name in sources if not (name.isascii() and name.replace("-", "").replace("_", "").isalnum())]
        if wrong:
            raise OptionError(f"--bundle {wrong[0]}=...: a name has letters, digits, - and _ alone.")
        self._sources = dict(sources)
        self._load = load
        self._models = {name: Model(name, self.open(name)) for name in sources}
        self.default = next(iter(sources))

    @property
    def models(self) -> list[Model]:
        """Every model that is served, the default first."""
        return list(self._models.values())

    @property
    def names(self) -> list[str]:
        """What a request may ask for."""
        return list(self._sources)

    def get(self, name: str | None) -> Model:
        """Give the model of a request.

        Args:
            name: What it asks for; None for the default.

        Returns:
            The model.

        Raises:
            RequestError: 404, no bundle has this name.
        """
        model = self._models.get(self.default if name is None else name)
        if model is None:  # the name is not repeated: it comes from outside, and could hold anything
            raise RequestError(f"there is no such model; there is {', '.join(self._models)}.", status=404,
                               error_type="NotFound")  # fmt: skip
        return model

    def open(self, name: str) -> Classifier:
        """Open and prove the bundle that lies in a folder now, beside the one that serves.

        Args:
            name: Its name.

        Returns:
            A classifier that gave the answers of the export on this machine, and is warm.

        Raises:
            BundleError: The bundle is damaged, or does not answer as it did at export.
        """
        classifier = self._load(self._sources[name])
        try:
            check_golden(classifier)
        except BaseException:
            classifier.close()
            raise
        return classifier

    def replace(self, name: str, classifier: Classifier) -> None:
        """Let new requests have another model; those under way keep theirs. Call it in the thread of the event loop.

        Args:
            name: The name of the bundle.
            classifier: From `open`.
        """
        old, self._models[name] = self._models[name], Model(name, classifier)
        if old.classifier.labels.sha256 != classifier.labels.sha256:
            logger.warning("bundle %s: the new version has other labels than the old one", name)
        old.retire()

    def close(self) -> None:
        """Close every model when its requests have ended."""
        for model in self.models:
            model.retire()


def parse_sources(given: list[str]) -> dict[str, Path]:
    """Read `--bundle`.

    Args:
        given: `name=path`, or a path alone, which is called `default`.

    Returns:
        Name -> folder, in order.

    Raises:
        OptionError: A name is given twice.
    """
    sources: dict[str, Path] = {}
    for one in given:
        name, separator, path = one.partition("=")
        if not separator or "/" in name:
            name, path = "default", one
        if name in sources:
            raise OptionError(f"--bundle: two bundles are called {name}. Name them: --bundle name=path.")
        sources[name] = Path(path)
    return sources


def reload_error(error: Exception) -> str:
    """Say why a bundle was not taken, without words that are not ours.

    Args:
        error: What was raised.

    Returns:
        One line.
    """
    return str(error) if isinstance(error, MedclfError) else type(error).__name__
