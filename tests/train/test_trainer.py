"""The recipe: which weights decay, how the learning rate moves, what a step's loss is, and when to stop."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from medclf.labels import Labels
from medclf.train.dataset import Collate, EncodedTexts
from medclf.train.losses import Objective
from medclf.train.model import load_start
from medclf.train.options import TrainOptions
from medclf.train.trainer import (
    ClassifierTrainer,
    EarlyStopping,
    epochs_without_gain,
    make_trainer,
    training_arguments,
)


@pytest.fixture
def trainer(tiny_encoder: Path, tmp_path: Path, texts: list[str]) -> ClassifierTrainer:
    options = TrainOptions(Path("a.csv"), model=str(tiny_encoder), max_length=32, device="cpu")
    start = load_start(options, Labels(("a", "b")), [])
    part = EncodedTexts(start.encoder.encode(texts), np.arange(len(texts)) % 2)
    arguments = training_arguments(options, tmp_path, learning_rate=5e-5)
    return make_trainer(start.model, arguments, options, Collate(start.encoder), train=part, validation=part)


def test_bias_and_layer_norm_do_not_decay(trainer: ClassifierTrainer) -> None:
    optimizer = trainer.create_optimizer()
    assert type(optimizer).__name__ == "AdamW"
    decays = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    for name, parameter in trainer.model.named_parameters():
        expected = 0.0 if name.endswith("bias") or "LayerNorm" in name else 0.01
        assert decays[id(parameter)] == expected, name


def test_learning_rate_rises_then_falls_to_zero(trainer: ClassifierTrainer) -> None:
    trainer.create_optimizer()
    schedule = trainer.create_scheduler(100)
    rates = []
    for _ in range(101):
        rates.append(schedule.get_last_lr()[0])
        trainer.optimizer.step()
        schedule.step()
    assert rates[:3] == pytest.approx([0, 5e-6, 1e-5])
    assert rates[10] == max(rates) == pytest.approx(5e-5)
    assert rates[55] == pytest.approx(2.5e-5)
    assert rates[100] == 0


def test_loss_of_a_step_is_the_mean_over_its_texts_also_in_several_batches() -> None:
    logits, labels = torch.randn(7, 3), torch.tensor([0, 1, 2, 0, 1, 2, 0])
    whole = torch.nn.functional.cross_entropy(logits, labels)
    parts = [Objective()({"logits": logits[s]}, labels[s], 7) for s in (slice(0, 5), slice(5, 7))]
    assert sum(parts) == pytest.approx(whole.item())
    assert Objective()({"logits": logits}, labels).item() == pytest.approx(whole.item())


def test_gradients_of_accumulated_batches_are_those_of_one(trainer: ClassifierTrainer) -> None:
    trainer.model.eval()  # no dropout
    inputs = next(iter(trainer.get_train_dataloader()))
    halves = [{name: tensor[s] for name, tensor in inputs.items()} for s in (slice(0, 10), slice(10, 16))]

    def gradient(batches: list[dict[str, torch.Tensor]]) -> torch.Tensor:
        trainer.model.zero_grad()
        for batch in batches:
            trainer.compute_loss(trainer.model, dict(batch), num_items_in_batch=torch.tensor(16)).backward()
        return trainer.model.classifier.weight.grad.clone()

    assert torch.allclose(gradient(halves), gradient([inputs]), atol=1e-6)


@pytest.mark.parametrize(
    ("scores", "without_gain"),
    [([], 0), ([0.5], 0), ([0.5, 0.6], 0), ([0.6, 0.5], 1), ([0.6, 0.6, 0.6], 2), ([0.6, 0.5, 0.7, 0.1], 1)],
)
def test_early_stopping_counts_from_the_first_best(scores: list[float], without_gain: int) -> None:
    history = [{"loss": 1.0}, *({"eval_macro_f1": score} for score in scores)]
    assert epochs_without_gain(history) == without_gain
    state = SimpleNamespace(log_history=history)
    assert EarlyStopping(2).is_due(state) == (without_gain >= 2)
    assert not EarlyStopping(0).is_due(state)


def test_only_hidden_states_are_dropped(trainer: ClassifierTrainer) -> None:
    config = trainer.model.config
    assert (config.hidden_dropout_prob, config.attention_probs_dropout_prob) == (0.1, 0.0)
    assert config._attn_implementation == "sdpa"
