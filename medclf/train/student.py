"""A smaller model, cut out of its teacher: fewer layers, or narrower ones."""

import copy
import re
from typing import Any

import numpy as np
import torch
import transformers

from medclf.errors import OptionError
from medclf.tokenizer import TextEncoder
from medclf.train.model import Start
from medclf.train.options import TrainOptions
from medclf.train.teacher import Teacher


def make_student(teacher: Teacher, options: TrainOptions) -> Start:
    """Make a student of the shape that the options name.

    Fewer layers: each is the copy of a layer of the teacher; they are spread evenly, the first and the last among them
    (as in DistilBERT, Sanh et al. 2019, every other one). Narrower: every weight is cut to its first rows and columns,
    whole attention heads at a time; a cut layer computes something else than the whole one, and the words keep but a
    part of their vectors. Embeddings, pooler and head are the teacher's.

    Args:
        teacher: The teacher.
        options: Of the run; `layers` and `hidden_size`.

    Returns:
        The student, with the teacher's tokenizer.

    Raises:
        OptionError: The shape is not smaller, or no width of whole attention heads.
    """
    config = student_config(teacher.model.config, layers=options.layers, hidden_size=options.hidden_size)
    transformers.set_seed(options.seed)
    model = type(teacher.model)(config)
    taken = spread(teacher.model.config.num_hidden_layers, config.num_hidden_layers)
    weights = teacher.model.state_dict()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            source = weights[re.sub(r"\.layer\.(\d+)\.", lambda found: f".layer.{taken[int(found[1])]}.", name)]
            parameter.copy_(source[tuple(slice(size) for size in parameter.shape)])
    encoder = TextEncoder(teacher.tokenizer_json, max_length=options.max_length, long_text=options.policy)
    return Start(model, teacher.tokenizer_json, encoder, head_is_new=False)


def student_config(config: Any, *, layers: int | None, hidden_size: int | None) -> Any:
    """Describe the student.

    Args:
        config: Of the teacher.
        layers: Layers of the encoder; None for the teacher's.
        hidden_size: Its width; None for the teacher's. Heads keep their width, and the inner layer its proportion.

    Returns:
        A configuration with the teacher's labels.

    Raises:
        OptionError: The shape is not smaller, or no width of whole attention heads.
    """
    student = copy.deepcopy(config)
    student.num_hidden_layers = config.num_hidden_layers if layers is None else layers
    student.hidden_size = config.hidden_size if hidden_size is None else hidden_size
    head = config.hidden_size // config.num_attention_heads
    if student.num_hidden_layers > config.num_hidden_layers or student.hidden_size > config.hidden_size:
        raise OptionError(
            f"a student of {student.num_hidden_layers} layers, {student.hidden_size} wide, is larger than its teacher "
            f"of {config.num_hidden_layers} layers, {config.hidden_size} wide. Lower --layers or --hidden-size."
        )
    if student.hidden_size % head:
        raise OptionError(f"hidden_size is {hidden_size}, expected a multiple of {head}, the width of a head.")
    student.num_attention_heads = student.hidden_size // head
    student.intermediate_size = config.intermediate_size * student.hidden_size // config.hidden_size
    return student


def spread(n_layers: int, n_taken: int) -> list[int]:
    """Spread the layers that are taken evenly over those that there are, the first and the last among them.

    Args:
        n_layers: Layers of the teacher.
        n_taken: Layers of the student.

    Returns:
        Positions from 0, rising; of a single layer, the last.
    """
    if n_taken == 1:
        return [n_layers - 1]
    return [round(float(at)) for at in np.linspace(0, n_layers - 1, n_taken)]
