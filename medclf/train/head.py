"""The new head of a model: which layer it is, and where it begins."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from medclf.errors import CheckpointError
from medclf.labels import Targets


def output_layer(model: Any) -> nn.Linear:
    """Find the layer that gives the logits.

    Args:
        model: A sequence classifier of transformers.

    Returns:
        Its last linear layer outside of the encoder.

    Raises:
        CheckpointError: There is none with one output a label.
    """
    layers = [
        module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and not name.startswith(f"{model.base_model_prefix}.")
    ]
    if not layers or layers[-1].out_features != model.config.num_labels:
        raise CheckpointError(f"a model of type {model.config.model_type!r} has no linear layer that gives its logits.")
    return layers[-1]


def head_modules(model: Any) -> list[str]:
    """Name what is not the encoder: the pooler, and all that stands outside.

    Args:
        model: A sequence classifier of transformers.

    Returns:
        Names of modules that have weights, none inside another.
    """
    outside = [name for name, child in model.named_children() if name != model.base_model_prefix]
    pooler = f"{model.base_model_prefix}.pooler"
    names = [*outside, pooler]
    return [name for name, module in model.named_modules() if name in names and any(True for _ in module.parameters())]


def renew_output(model: Any) -> None:
    """Draw the weights of the layer that gives the logits anew, where those that were read mean other labels.

    Args:
        model: A sequence classifier of transformers; changed in place.

    Raises:
        CheckpointError: It has no such layer.
    """
    layer = output_layer(model)
    with torch.no_grad():
        layer.weight.normal_(std=model.config.initializer_range)
        layer.bias.zero_()


def base_rates(targets: Targets) -> npt.NDArray[np.float64]:
    """Give the log-odds of each label in the training part.

    Half a text is added on either side (Haldane 1956, Anscombe 1956), so that a label that every text or none has
    stays finite.

    Args:
        targets: bool [texts, labels].

    Returns:
        float64 [labels].
    """
    given = targets.sum(axis=0)
    return np.asarray(np.log((given + 0.5) / (len(targets) - given + 0.5)))


def start_at_base_rates(model: Any, targets: Targets) -> None:
    """Set the head's bias so that a model which knows nothing yet gives each label its share of the texts.

    Lin et al. (2017), Focal loss for dense object detection, 3.3. Without it the first steps of training go into
    learning that most texts have few labels. With one label a text nothing is changed: softmax has no level to learn.

    Args:
        model: A sequence classifier with a new head; changed in place.
        targets: Of the training part.
    """
    if targets.ndim == 2:
        with torch.no_grad():
            layer = output_layer(model)
            layer.bias.copy_(torch.from_numpy(base_rates(targets)))
