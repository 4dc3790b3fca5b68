"""Which weights decay, and the learning rate of each: of the head, and of the encoder layer by layer."""

from itertools import pairwise
from typing import Any

from torch import nn

from medclf.train.options import TrainOptions


def parameter_groups(model: Any, options: TrainOptions, *, learning_rate: float) -> list[dict[str, Any]]:
    """Group the weights for AdamW.

    The last layer of the encoder has `learning_rate`, each layer below it `layer_decay` of that above, the embeddings
    the least (Howard and Ruder 2018, "discriminative fine-tuning"; the decay as in ELECTRA, Clark et al. 2020). What is
    new, the pooler and the head, has `head_learning_rate`. Biases and LayerNorm do not decay.

    Args:
        model: A sequence classifier of transformers.
        options: Of the run.
        learning_rate: Of the last layer.

    Returns:
        Groups with `params`, `lr` and `weight_decay`.
    """
    plain = _without_decay(model)
    n_layers = model.config.num_hidden_layers
    head_rate = options.head_learning_rate or learning_rate
    groups: dict[tuple[float, float], list[Any]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            depth = _depth(name, prefix=model.base_model_prefix, n_layers=n_layers)
            rate = head_rate if depth is None else learning_rate * options.layer_decay ** (n_layers - depth)
            decay = 0.0 if name in plain else options.weight_decay
            groups.setdefault((rate, decay), []).append(parameter)
    return [{"params": group, "lr": rate, "weight_decay": decay} for (rate, decay), group in groups.items()]


def _without_decay(model: Any) -> set[str]:
    norms = {
        f"{name}.{own}"
        for name, module in model.named_modules()
        if isinstance(module, nn.LayerNorm)
        for own, _ in module.named_parameters()
    }
    return norms | {name for name, _ in model.named_parameters() if name.endswith("bias")}


def _depth(name: str, *, prefix: str, n_layers: int) -> int | None:
    """Give 0 for the embeddings, i for the i-th layer, None for the pooler and the head."""
    words = name.split(".")
    if prefix not in words or "pooler" in words:
        return None
    numbers = [int(word) for before, word in pairwise(words) if before == "layer"]
    return numbers[0] + 1 if numbers and numbers[0] < n_layers else 0
