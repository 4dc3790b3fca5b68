"""The losses against their formulas, written out for a text at a time."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from medclf.errors import OptionError
from medclf.train.losses import Objective, class_weights, focal_loss, log_priors, loss_for, plain_loss
from medclf.train.options import TrainOptions

OPTIONS = TrainOptions(Path("a.csv"))
SINGLE = np.array([0, 0, 0, 0, 0, 0, 1, 1, 2])
SEVERAL = np.array([[1, 0], [1, 1], [1, 0], [0, 0]], dtype=bool)


@pytest.fixture
def logits() -> torch.Tensor:
    return torch.randn(5, 3, generator=torch.Generator().manual_seed(0))


GIVEN = torch.tensor([0, 1, 2, 0, 1])


def test_classes_count_alike_and_the_mean_weight_is_1() -> None:
    weights = class_weights(SINGLE)
    assert weights.tolist() == pytest.approx([9 / 18, 9 / 6, 9 / 3])
    assert weights[SINGLE].mean() == pytest.approx(1)
    assert class_weights(SEVERAL).tolist() == pytest.approx([1.5 / 3.5, 3.5 / 1.5])


def test_weighted_is_cross_entropy_times_the_weight_of_the_class(logits: torch.Tensor) -> None:
    found = loss_for(replace(OPTIONS, loss="weighted"), SINGLE)(logits, GIVEN)
    expected = [
        w * -torch.log_softmax(row, 0)[y] for row, y, w in zip(logits, GIVEN, (0.5, 1.5, 3, 0.5, 1.5), strict=True)
    ]
    assert found.tolist() == pytest.approx([one.item() for one in expected])


def test_weighted_with_several_labels_weighs_the_texts_that_have_one(logits: torch.Tensor) -> None:
    given = torch.tensor([[1.0, 0], [0, 1], [0, 0], [1, 1], [0, 0]])
    found = loss_for(replace(OPTIONS, loss="weighted"), SEVERAL)(logits[:, :2], given)
    weights = torch.where(given == 1, torch.tensor([1.5 / 3.5, 3.5 / 1.5]), torch.ones(2))
    assert torch.allclose(found, weights * plain_loss(logits[:, :2], given))


@pytest.mark.parametrize("several", [False, True])
def test_focal(logits: torch.Tensor, several: bool) -> None:
    given = torch.nn.functional.one_hot(GIVEN, 3).float() if several else GIVEN
    found = loss_for(replace(OPTIONS, loss="focal", focal_gamma=1.5), SINGLE)(logits, given)
    if several:
        p = torch.where(given == 1, torch.sigmoid(logits), 1 - torch.sigmoid(logits))
    else:
        p = torch.softmax(logits, 1)[torch.arange(5), GIVEN]
    assert torch.allclose(found, -((1 - p) ** 1.5) * torch.log(p), atol=1e-6)
    assert torch.equal(focal_loss(logits, given, gamma=0.0), plain_loss(logits, given))


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_focal_has_a_gradient_where_the_model_is_sure(gamma: float) -> None:
    logits = torch.tensor([[80.0, -80.0], [-80.0, 80.0]], requires_grad=True)
    focal_loss(logits, torch.tensor([0, 0]), gamma=gamma).sum().backward()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()
    assert logits.grad[1].tolist() == pytest.approx([-1, 1])


def test_logit_adjusted_adds_the_priors_in_training_alone(logits: torch.Tensor) -> None:
    assert log_priors(SINGLE).tolist() == pytest.approx(np.log([6 / 9, 2 / 9, 1 / 9]).tolist())
    found = loss_for(replace(OPTIONS, loss="logit-adjusted", tau=0.5), SINGLE)(logits, GIVEN)
    shifted = logits + 0.5 * torch.log(torch.tensor([6 / 9, 2 / 9, 1 / 9]))
    assert torch.allclose(found, torch.nn.functional.cross_entropy(shifted, GIVEN, reduction="none"))


@pytest.mark.parametrize("loss", ["cross-entropy", "weighted", "focal", "logit-adjusted"])
def test_loss_of_several_batches_is_that_of_one(logits: torch.Tensor, loss: str) -> None:
    objective = Objective(loss_for(replace(OPTIONS, loss=loss), SINGLE))
    parts = [objective({"logits": logits[s]}, GIVEN[s], 5) for s in (slice(0, 3), slice(3, 5))]
    assert sum(parts).item() == pytest.approx(objective({"logits": logits}, GIVEN).item())


def test_logit_adjustment_is_not_defined_for_several_labels() -> None:
    options = replace(OPTIONS, loss="logit-adjusted")
    options.check_task(multi_label=False)
    with pytest.raises(OptionError, match=r"'logit-adjusted', which is defined for one label a text.*'weighted' and"):
        options.check_task(multi_label=True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"loss": "hinge"}, "loss is 'hinge', expected one of cross-entropy, weighted, focal, logit-adjusted"),
        ({"tau": 1.0}, "tau belongs to the loss 'logit-adjusted', but the loss is 'cross-entropy'"),
        (
            {"loss": "weighted", "focal_gamma": 2.0},
            "focal_gamma belongs to the loss 'focal', but the loss is 'weighted'",
        ),
        ({"loss": "focal", "focal_gamma": -1.0}, "focal_gamma is -1.0, expected 0 to 10"),
        ({"loss": "logit-adjusted", "tau": 0.0}, "tau is 0.0, expected over 0"),
    ],
)
def test_options_that_mean_nothing(changes: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        replace(OPTIONS, **changes)
