"""Low-rank adapters: few weights are trained, and merged into the others before anything is written."""

import warnings
from dataclasses import replace
from typing import Any

from torch import nn

from medclf.extras import require
from medclf.train.head import head_modules
from medclf.train.model import Start
from medclf.train.options import TrainOptions

SCALE = 2  # alpha over rank


def with_adapters(start: Start, options: TrainOptions) -> Start:
    """Freeze the encoder and add an adapter to every linear layer of it.

    Hu et al. (2022), LoRA: low-rank adaptation of large language models: W + (alpha / rank) B A, with B = 0 in the
    beginning. Here alpha is twice the rank, and every linear layer has one, not those of attention alone. Pooler and
    head are trained whole.

    Args:
        start: The model.
        options: Of the run; `lora` is the rank.

    Returns:
        The same with adapters.

    Raises:
        ExtraError: peft is not installed.
    """
    peft = require("peft", extra="lora")
    whole = head_modules(start.model)
    layers = [
        name
        for name, module in start.model.named_modules()
        if isinstance(module, nn.Linear) and not any(name == one or name.startswith(f"{one}.") for one in whole)
    ]
    config = peft.LoraConfig(
        r=options.lora, lora_alpha=SCALE * (options.lora or 1), target_modules=layers, modules_to_save=whole
    )
    with warnings.catch_warnings():  # peft reads names of transformers that are about to go
        warnings.simplefilter("ignore", FutureWarning)
        return replace(start, model=peft.get_peft_model(start.model, config))


def merged(model: Any) -> Any:
    """Add the adapters to the weights.

    Args:
        model: Of `with_adapters`, trained.

    Returns:
        A sequence classifier like any other.
    """
    return model.merge_and_unload()
