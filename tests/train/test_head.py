"""Where the head begins, and the learning rate and decay of every weight."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from medclf.errors import CheckpointError, OptionError
from medclf.labels import Labels
from medclf.train.groups import parameter_groups
from medclf.train.head import base_rates, output_layer, start_at_base_rates
from medclf.train.model import load_start
from medclf.train.options import TrainOptions

MULTI = Labels(("a", "b", "c"), "multi_label_classification")


@pytest.fixture
def options(tiny_encoder: Path) -> TrainOptions:
    return TrainOptions(Path("a.csv"), model=str(tiny_encoder), max_length=32, learning_rate=1e-3)


def test_multi_label_head_begins_at_the_share_of_each_label(options: TrainOptions) -> None:
    given = np.zeros((99, 3), dtype=bool)
    given[:9, 0] = given[:, 1] = True  # a tenth of the texts, all of them, none
    model = load_start(options, MULTI, []).model
    start_at_base_rates(model, given)
    assert torch.sigmoid(model.classifier.bias).tolist() == pytest.approx([0.095, 0.995, 0.005])


def test_single_label_head_is_left_alone(options: TrainOptions) -> None:
    model = load_start(options, Labels(("a", "b")), []).model
    before = model.classifier.bias.clone()
    start_at_base_rates(model, np.array([0, 0, 0, 1]))
    assert torch.equal(model.classifier.bias, before)


@pytest.mark.parametrize("kind", ["Bert", "Electra", "ConvBert", "DebertaV2"])
def test_the_layer_of_the_logits_is_found_in_every_family(kind: str) -> None:
    import transformers

    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = getattr(transformers, f"{kind}Config")(vocab_size=20, embedding_size=16, num_labels=3, **small)
    model = getattr(transformers, f"{kind}ForSequenceClassification")(config).eval()
    before = model(torch.tensor([[1, 2, 3]])).logits
    with torch.no_grad():
        output_layer(model).bias.add_(torch.tensor([1.0, 2.0, 3.0]))
    assert (model(torch.tensor([[1, 2, 3]])).logits - before)[0].tolist() == pytest.approx([1, 2, 3], abs=1e-5)


def test_model_without_such_a_layer(options: TrainOptions) -> None:
    model = load_start(options, MULTI, []).model
    model.classifier = torch.nn.Linear(32, 7)
    with pytest.raises(CheckpointError, match="'bert' has no linear layer that gives its logits"):
        output_layer(model)


def test_base_rates_are_log_odds() -> None:
    assert base_rates(np.array([[True], [False], [False], [False]])) == pytest.approx(np.log(1.5 / 3.5))


def rates(options: TrainOptions) -> dict[str, tuple[float, float]]:
    """Name -> learning rate and decay."""
    model = load_start(options, MULTI, []).model
    groups = parameter_groups(model, options, learning_rate=1e-3)
    found = {id(p): (group["lr"], group["weight_decay"]) for group in groups for p in group["params"]}
    return {name: found[id(parameter)] for name, parameter in model.named_parameters()}


def test_one_rate_for_all_by_default(options: TrainOptions) -> None:
    assert {rate for rate, _ in rates(options).values()} == {1e-3}


def test_rate_falls_layer_by_layer_from_the_head(options: TrainOptions) -> None:
    found = rates(replace(options, layer_decay=0.5, head_learning_rate=4e-3))
    assert found["classifier.weight"] == (4e-3, 0.01)
    assert found["classifier.bias"] == found["bert.pooler.dense.bias"] == (4e-3, 0.0)
    assert found["bert.encoder.layer.1.output.dense.weight"] == (1e-3, 0.01)
    assert found["bert.encoder.layer.0.output.LayerNorm.weight"] == (5e-4, 0.0)
    assert found["bert.embeddings.word_embeddings.weight"] == (2.5e-4, 0.01)


@pytest.mark.parametrize("changes", [{"layer_decay": 0.0}, {"layer_decay": 1.1}, {"head_learning_rate": 2.0}])
def test_rates_out_of_range(options: TrainOptions, changes: dict[str, float]) -> None:
    with pytest.raises(OptionError, match=f"{next(iter(changes))} is .*, expected over 0, at most 1"):
        replace(options, **changes)
