"""In which numbers a model is trained: weights and sums are float32, what is multiplied may be smaller."""

from collections.abc import Mapping

import torch

from medclf.errors import OptionError
from medclf.train.options import Precision, TrainOptions

# A CPU without these converts each bfloat16 to float32 first, and is slower for it.
BF16_FEATURES = ("avx512_bf16", "amx_bf16")


def uses_cuda(options: TrainOptions) -> bool:
    """Say whether a run is on a GPU.

    Args:
        options: Of the run.

    Returns:
        Whether it is.

    Raises:
        OptionError: CUDA was asked for, and torch sees no such device.
    """
    if options.device == "cuda" and not torch.cuda.is_available():
        raise OptionError("device is 'cuda', but torch sees no CUDA device. Use --device auto or cpu.")
    return options.device != "cpu" and torch.cuda.is_available()


def precision_of(options: TrainOptions) -> Precision:
    """Say in which numbers a run multiplies.

    Args:
        options: Of the run.

    Returns:
        What was asked for; for `auto`, on a GPU `bf16`, or `fp16` where it has no such units, and on a CPU `bf16`
        where it has them, else `fp32`.

    Raises:
        OptionError: CUDA was asked for, and torch sees no such device; or `fp16` on a CPU, whose gradients vanish
            without the loss scaling that a GPU has.
    """
    cuda = uses_cuda(options)
    if options.precision == "fp16" and not cuda:
        raise OptionError("precision is 'fp16', which is trained on a GPU alone. Use --precision bf16, fp32 or auto.")
    if options.precision != "auto":
        return options.precision
    if cuda:
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    found: Mapping[str, object] = getattr(torch.cpu, "get_capabilities", dict)()  # an older torch does not tell
    return "bf16" if any(found.get(feature) for feature in BF16_FEATURES) else "fp32"
