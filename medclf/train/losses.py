"""What a step makes small: how far the answers are from the labels, and from those of a teacher."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from medclf.labels import Targets
from medclf.train.options import TrainOptions

GAMMA = 2.0  # the best of Lin et al. (2017)
TAU = 1.0  # with which Menon et al. (2021) prove that the balanced error is the least
ALPHA = 0.5
TEMPERATURE = 2.0
Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]  # logits and targets -> [batch], or [batch, labels]


def loss_for(options: TrainOptions, targets: Targets) -> Loss:
    """Make the loss that the options name, with what it needs of the training part.

    Args:
        options: Of the run; `loss`, `focal_gamma` and `tau`.
        targets: int64 [texts] or bool [texts, labels], of the training part.

    Returns:
        float32 logits [batch, labels] and targets -> the loss of each text, or of each label of each text.
    """
    if options.loss == "focal":
        gamma = GAMMA if options.focal_gamma is None else options.focal_gamma
        return lambda logits, given: focal_loss(logits, given, gamma=gamma)
    if options.loss == "weighted":
        return _weighted(targets)
    if options.loss == "logit-adjusted":
        tau = TAU if options.tau is None else options.tau
        shift = tau * torch.from_numpy(log_priors(targets)).float()
        return lambda logits, given: plain_loss(logits + shift.to(logits.device), given)
    return plain_loss


def plain_loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Give the cross-entropy.

    Args:
        logits: float32 [batch, labels].
        targets: int64 [batch], or float32 [batch, labels] for the binary one of each label.

    Returns:
        [batch], or [batch, labels].
    """
    if targets.ndim == 2:
        return functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    return functional.cross_entropy(logits, targets, reduction="none")


def focal_loss(logits: torch.Tensor, targets: torch.Tensor, *, gamma: float) -> torch.Tensor:
    """Give (1 - p)^gamma times the cross-entropy, p being the probability of what is right.

    Lin et al. (2017), Focal loss for dense object detection, equation 4; without alpha. With one label a text p is the
    softmax of the label; with several, the sigmoid of each.

    Args:
        logits: float32 [batch, labels].
        targets: int64 [batch] or float32 [batch, labels].
        gamma: How much texts that are right already lose of their weight; 0 gives the cross-entropy.

    Returns:
        [batch], or [batch, labels].
    """
    loss = plain_loss(logits, targets)
    wrong = (-torch.expm1(-loss)).clamp(min=1e-12)  # 1 - p; at 0 the power has no gradient
    return wrong**gamma * loss


def class_weights(targets: Targets) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Weigh classes so that all count alike.

    With one label a text n / (k n_c), as King and Zeng (2001) and "balanced" in scikit-learn: the mean over the
    training texts is 1. With several the odds against each label, by which texts that have it are weighed (PyTorch's
    `pos_weight`), with half a text added on either side.

    Args:
        targets: int64 [texts] or bool [texts, labels]; every class occurs.

    Returns:
        float64 [labels].
    """
    if targets.ndim == 2:
        given = targets.sum(axis=0)
        return np.asarray((len(targets) - given + 0.5) / (given + 0.5))
    counts = np.bincount(targets.astype(np.int64))
    return np.asarray(len(targets) / (len(counts) * counts))


def log_priors(targets: Targets) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Give the logarithm of each class's share of the training texts.

    Menon et al. (2021), Long-tail learning via logit adjustment, equation 10: tau times it is added to the logits in
    training alone, so that the plain logits rank classes as if all were equally frequent.

    Args:
        targets: int64 [texts]; every class occurs.

    Returns:
        float64 [labels].
    """
    return np.asarray(np.log(np.bincount(targets.astype(np.int64)) / len(targets)))


def _weighted(targets: Targets) -> Loss:
    weights = torch.from_numpy(class_weights(targets)).float()
    if targets.ndim == 2:
        return lambda logits, given: functional.binary_cross_entropy_with_logits(
            logits, given, pos_weight=weights.to(logits.device), reduction="none"
        )
    return lambda logits, given: weights.to(logits.device)[given] * plain_loss(logits, given)


def teacher_loss(logits: torch.Tensor, taught: torch.Tensor, *, multi_label: bool, temperature: float) -> torch.Tensor:
    """Give how far the answers are from a teacher's.

    Hinton, Vinyals and Dean (2015), Distilling the knowledge in a neural network: T^2 times the divergence of the two
    distributions at temperature T, so that its gradients do not shrink with T. With several labels a text, T^2 times
    the binary cross-entropy of each label, the teacher's probabilities being the targets.

    Args:
        logits: float32 [batch, labels].
        taught: float32 [batch, labels], the teacher's.
        multi_label: Whether a text may have several labels.
        temperature: T, over 0.

    Returns:
        [batch], or [batch, labels].
    """
    own, his = logits / temperature, taught / temperature
    if multi_label:
        loss = functional.binary_cross_entropy_with_logits(own, torch.sigmoid(his), reduction="none")
    else:
        log_p, log_q = torch.log_softmax(own, dim=-1), torch.log_softmax(his, dim=-1)
        loss = functional.kl_div(log_p, log_q, reduction="none", log_target=True).sum(dim=-1)
    return temperature**2 * loss


@dataclass(frozen=True)
class Objective:
    """What Trainer calls for the loss of a batch.

    Attributes:
        loss: Of the labels.
        alpha: Weight of it where there is a teacher; the rest is the teacher's.
        temperature: Of the teacher's part.
    """

    loss: Loss = plain_loss
    alpha: float = ALPHA
    temperature: float = TEMPERATURE

    @classmethod
    def of(cls, options: TrainOptions, targets: Targets) -> "Objective":
        """Make the objective that the options name.

        Args:
            options: Of the run.
            targets: int64 [texts] or bool [texts, labels], of the texts of the training part that have labels.

        Returns:
            The objective.
        """
        alpha = ALPHA if options.alpha is None else options.alpha
        temperature = TEMPERATURE if options.teacher_temperature is None else options.teacher_temperature
        return cls(loss_for(options, targets), alpha, temperature)

    def __call__(
        self,
        outputs: Any,
        labels: torch.Tensor,
        num_items_in_batch: Any = None,
        teacher_logits: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Give the mean loss over the texts of a whole step, also where a step is several batches.

        Args:
            outputs: Of the model; `logits` float32 [batch, labels].
            labels: int64 [batch]; or float32 [batch, labels], for the mean over every label of every text. With a
                teacher, -1 or NaN where a text has none: its loss is the teacher's part alone.
            num_items_in_batch: Entries of `labels` in the whole step; None for those of this batch.
            teacher_logits: float32 [batch, labels]; None without a teacher.

        Returns:
            A scalar.
        """
        logits = outputs["logits"].float()
        if teacher_logits is None:
            each = self.loss(logits, labels)
        else:
            several = labels.ndim == 2
            known = ~labels.isnan() if several else labels >= 0
            own = self.loss(logits, torch.where(known, labels, torch.zeros_like(labels))) * known
            taught = teacher_loss(logits, teacher_logits, multi_label=several, temperature=self.temperature)
            each = self.alpha * own + (1 - self.alpha) * taught
        return each.sum() / (labels.numel() if num_items_in_batch is None else num_items_in_batch)
