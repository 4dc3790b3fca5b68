"""Labels that are paths, such as `neoplasms/breast/ductal`: scores at every level of the tree.

The model is flat: what it gives is read as a path, and cut at each level. A text that is given a wrong leaf of the
right branch is right at the branch's level.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from medclf.errors import OptionError
from medclf.evaluate.metrics import scores
from medclf.labels import Labels, Targets


def level_names(names: Sequence[str], separator: str) -> list[list[str]]:
    """Give the names of each level.

    Args:
        names: Label names.
        separator: Between the parts of a path.

    Returns:
        Of each level, from the top, the paths cut there, sorted; a shorter path stays as it is.

    Raises:
        OptionError: The separator is empty, or in no name.
    """
    if not separator or not any(separator in name for name in names):
        raise OptionError(
            f"--hierarchy {separator!r}: no label holds it, so labels are no paths. The labels: {', '.join(names)}."
        )
    depth = max(len(name.split(separator)) for name in names)
    return [sorted({cut(name, separator, level) for name in names}) for level in range(1, depth + 1)]


def cut(name: str, separator: str, level: int) -> str:
    """Cut a path.

    Args:
        name: The path.
        separator: Between its parts.
        level: How many parts are kept.

    Returns:
        The first parts, joined.
    """
    return separator.join(name.split(separator)[:level])


def levels(labels: Labels, targets: Targets, predicted: Targets, *, separator: str) -> list[dict[str, Any]]:
    """Score each level.

    Args:
        labels: The label contract; its names are paths.
        targets: int64 [texts] or bool [texts, labels]; what is right.
        predicted: The same shape; what the model gives.
        separator: Between the parts of a path.

    Returns:
        Of each level from the top `level`, `n_labels`, and what `medclf.evaluate.metrics.scores` gives.

    Raises:
        OptionError: No label holds the separator.
    """
    found = []
    for level, names in enumerate(level_names(labels.names, separator), start=1):
        parents = np.array([names.index(cut(name, separator, level)) for name in labels.names])
        measured = scores(_lift(targets, parents, len(names)), _lift(predicted, parents, len(names)), names)
        found.append({"level": level, "n_labels": len(names), **measured})
    return found


def _lift(targets: Targets, parents: "np.typing.NDArray[np.int64]", n_parents: int) -> Targets:
    """What is given at a level: the parent of the label, or the parents of all labels."""
    if targets.ndim == 1:
        lifted: Targets = parents[targets]
        return lifted
    given = np.zeros((len(targets), n_parents), dtype=np.bool_)
    for child, parent in enumerate(parents):
        given[:, parent] |= targets[:, child].astype(bool)
    return given
