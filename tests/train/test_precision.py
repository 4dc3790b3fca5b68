"""In which numbers a run multiplies: by the device, as asked, and never where the model is scored."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from medclf.errors import OptionError, TrainingError
from medclf.labels import Labels
from medclf.train.dataset import Collate, EncodedTexts
from medclf.train.model import load_start
from medclf.train.options import TrainOptions
from medclf.train.precision import precision_of
from medclf.train.run import Stopped, train
from medclf.train.scoring import outputs_of
from medclf.train.trainer import ClassifierTrainer, make_trainer, training_arguments

OPTIONS = TrainOptions(Path("a.csv"), max_length=32, device="cpu")


@pytest.mark.parametrize(
    ("features", "expected"),
    [({"avx512_bf16": True}, "bf16"), ({"amx_bf16": True, "avx512_bf16": False}, "bf16"), ({"avx2": True}, "fp32")],
)
def test_a_cpu_has_bf16_where_it_multiplies_it(
    features: dict[str, bool], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: features, raising=False)
    assert precision_of(OPTIONS) == expected
    assert precision_of(replace(OPTIONS, precision="fp32")) == "fp32"
    assert precision_of(replace(OPTIONS, precision="bf16")) == "bf16"


def test_a_torch_that_does_not_tell_has_fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert precision_of(OPTIONS) == "fp32"


def test_fp16_is_refused_on_a_cpu_before_the_data_is_read(tmp_path: Path) -> None:
    options = replace(OPTIONS, data=tmp_path / "none.csv", output=tmp_path / "out", precision="fp16")
    with pytest.raises(OptionError, match=r"'fp16'.*GPU alone.*--precision bf16"):
        train(options)


def test_a_resume_on_a_cpu_of_another_kind(
    tiny_encoder: Path, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = replace(OPTIONS, data=table, model=str(tiny_encoder), output=tmp_path / "out", batch_size=8)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True}, raising=False)
    with pytest.raises(Stopped):
        train(replace(options, stop_after=2))
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict, raising=False)
    with pytest.raises(TrainingError, match="multiplies_in was 'bf16', is 'fp32'"):
        train(replace(options, resume=True))


@pytest.fixture
def make(tiny_encoder: Path, tmp_path: Path, texts: list[str]) -> Callable[[str], ClassifierTrainer]:
    def made(precision: str) -> ClassifierTrainer:
        options = replace(OPTIONS, model=str(tiny_encoder), precision=precision)
        start = load_start(options, Labels(("a", "b")), [])
        part = EncodedTexts(start.encoder.encode(texts), np.arange(len(texts)) % 2)
        arguments = training_arguments(options, tmp_path, learning_rate=5e-5)
        return make_trainer(start.model, arguments, options, Collate(start.encoder), train=part, validation=part)

    return made


def test_bf16_trains_and_never_scores(make: Callable[[str], ClassifierTrainer]) -> None:
    exact, trainer = make("fp32"), make("bf16")
    trainer.model.load_state_dict(exact.model.state_dict())
    batch = next(iter(trainer.get_train_dataloader()))
    seen: list[torch.dtype] = []
    trainer.model.classifier.register_forward_hook(lambda module, given, logits: seen.append(logits.dtype))
    trainer.model.train()
    loss = trainer.compute_loss(trainer.model, dict(batch))
    loss.backward()
    assert (seen, loss.dtype) == ([torch.bfloat16], torch.float32)
    assert {one.grad.dtype for one in trainer.model.parameters() if one.grad is not None} == {torch.float32}
    seen.clear()
    logits = outputs_of(trainer, trainer.train_dataset).logits
    assert set(seen) == {torch.float32}
    assert np.array_equal(logits, outputs_of(exact, exact.train_dataset).logits)


def test_a_run_in_bf16_goes_on_in_bf16_bit_by_bit(tiny_encoder: Path, table: Path, tmp_path: Path) -> None:
    options = TrainOptions(
        table, model=str(tiny_encoder), output=tmp_path / "whole", epochs=2, batch_size=8, max_length=32,
        learning_rate=4e-3, device="cpu", precision="bf16",
    )  # fmt: skip
    whole = load_file(train(options) / "model.safetensors")
    stopped = replace(options, output=tmp_path / "stopped")
    with pytest.raises(Stopped):
        train(replace(stopped, stop_after=5))
    resumed = load_file(train(replace(stopped, resume=True)) / "model.safetensors")
    assert [name for name in whole if not torch.equal(whole[name], resumed[name])] == []
    exact = load_file(train(replace(options, precision="fp32", overwrite=True)) / "model.safetensors")
    assert any(not torch.equal(whole[name], exact[name]) for name in whole)
