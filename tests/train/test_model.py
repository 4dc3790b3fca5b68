"""The model that training begins from: folders, hub ids and scratch; each refusal says what to do."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from medclf.errors import CheckpointError, OptionError
from medclf.labels import Labels
from medclf.tokenizer import TextEncoder
from medclf.train.model import Start, learning_rate_for, load_start, save_tokenizer
from medclf.train.options import SCRATCH, TrainOptions
from medclf.train.scratch import scratch_tokenizer

LABELS = Labels(("a", "b"))


def load(model: Path | str, **changes: object) -> Start:
    options = TrainOptions(Path("a.csv"), model=str(model), max_length=32)
    return load_start(replace(options, **changes), LABELS, ["heart failure", "heart attack"])


@pytest.fixture
def encoder_copy(tiny_encoder: Path, tmp_path: Path) -> Path:
    return shutil.copytree(tiny_encoder, tmp_path / "encoder")


def edit(path: Path, change: Callable[[dict], object]) -> None:
    document = json.loads(path.read_bytes())
    change(document)
    path.write_text(json.dumps(document))


def test_folder_is_loaded_with_the_labels_and_a_seeded_head(tiny_encoder: Path) -> None:
    one, same, other = load(tiny_encoder), load(tiny_encoder), load(tiny_encoder, seed=7)
    assert one.model.config.id2label == {0: "a", 1: "b"}
    assert one.model.dtype == torch.float32
    assert torch.equal(one.model.classifier.weight, same.model.classifier.weight)
    assert not torch.equal(one.model.classifier.weight, other.model.classifier.weight)
    expected = load_file(tiny_encoder / "model.safetensors")["embeddings.word_embeddings.weight"]
    assert torch.equal(one.model.bert.embeddings.word_embeddings.weight, expected)


def test_half_precision_weights_are_trained_in_float32(encoder_copy: Path) -> None:
    weights = load_file(encoder_copy / "model.safetensors")
    half = {name: tensor.half() for name, tensor in weights.items()}
    save_file(half, encoder_copy / "model.safetensors", metadata={"format": "pt"})
    edit(encoder_copy / "config.json", lambda config: config.update(dtype="float16", torch_dtype="float16"))
    assert load(encoder_copy).model.dtype == torch.float32


def test_classifier_with_other_labels_gets_a_new_head(tiny_checkpoint: Path) -> None:
    start = load(tiny_checkpoint)
    assert start.model.classifier.weight.shape[0] == 2


def test_head_of_a_classifier_is_known_by_its_labels(tiny_checkpoint: Path) -> None:
    def start(*names: str) -> Start:
        return load_start(TrainOptions(Path("a.csv"), model=str(tiny_checkpoint), max_length=32), Labels(names), [])

    same, others = start("cardiology", "neurology", "oncology"), start("a", "b", "c")
    assert not same.head_is_new
    assert others.head_is_new
    assert (same.model.classifier.weight != others.model.classifier.weight).all()  # as many labels, but others
    assert not others.model.classifier.bias.any()
    assert start("a", "b").head_is_new


def test_folder_with_a_vocabulary_alone_has_the_same_tokens(encoder_copy: Path, tiny_encoder: Path) -> None:
    (encoder_copy / "tokenizer.json").unlink()
    text = "Ba ce-di, 5 mg naïve \u5fc3"
    one, two = load(encoder_copy).encoder.encode([text]), load(tiny_encoder).encoder.encode([text])
    assert np.array_equal(one[0].input_ids, two[0].input_ids)


def test_learning_rate_fits_the_width() -> None:
    options = TrainOptions(Path("a.csv"))
    rates = [learning_rate_for(options, width) for width in (384, 768, 1024)]
    assert rates == [1e-4, 5e-5, 2e-5]
    assert learning_rate_for(replace(options, model=SCRATCH), 256) == 2e-4
    assert learning_rate_for(replace(options, lora=4), 768) == pytest.approx(5e-4)
    assert learning_rate_for(replace(options, learning_rate=3e-5), 384) == 3e-5


# Refusals


@pytest.mark.parametrize("name", ["./none", "/none/at/all", "a/b/c", "~/none-here"])
def test_folder_that_does_not_exist_is_never_asked_for_on_the_hub(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transformers.AutoConfig.from_pretrained", None)
    with pytest.raises(CheckpointError, match=r"the folder does not exist.*--model scratch"):
        load(name)


def test_hub_that_cannot_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*args: object, **kwargs: object) -> None:
        raise OSError("We couldn't connect to 'https://huggingface.co'")

    monkeypatch.setattr("transformers.AutoConfig.from_pretrained", offline)
    with pytest.raises(
        CheckpointError, match=r"bert-base-uncased: it is no folder here and cannot be .*--model FOLDER"
    ):
        load("bert-base-uncased")


def test_file_or_folder_that_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no config\.json, so it is not a model"):
        load(tmp_path)
    (tmp_path / "model.bin").touch()
    with pytest.raises(CheckpointError, match="this is a file"):
        load(tmp_path / "model.bin")


@pytest.mark.parametrize("model_type", ["gpt2", "t5", "distilbert"])
def test_another_architecture(encoder_copy: Path, model_type: str) -> None:
    (encoder_copy / "config.json").write_text(json.dumps({"model_type": model_type}))
    with pytest.raises(CheckpointError, match=f"architecture '{model_type}' is not a BERT-like encoder"):
        load(encoder_copy)


def test_unknown_architecture(encoder_copy: Path) -> None:
    edit(encoder_copy / "config.json", lambda config: config.update(model_type="nonesuch"))
    with pytest.raises(CheckpointError, match=r"it cannot be loaded .*--model FOLDER"):
        load(encoder_copy)


def test_pickled_weights_are_never_opened(encoder_copy: Path) -> None:
    torch.save(load_file(encoder_copy / "model.safetensors"), encoder_copy / "pytorch_model.bin")
    (encoder_copy / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"pickled weights are never opened.*save_pretrained"):
        load(encoder_copy)


def test_weights_that_are_damaged(encoder_copy: Path) -> None:
    data = (encoder_copy / "model.safetensors").read_bytes()
    (encoder_copy / "model.safetensors").write_bytes(data[: len(data) // 2])
    with pytest.raises(CheckpointError, match="it cannot be loaded"):
        load(encoder_copy)


def test_weights_of_the_encoder_that_are_missing_or_misshapen(encoder_copy: Path) -> None:
    weights = load_file(encoder_copy / "model.safetensors")
    del weights["encoder.layer.1.output.dense.bias"]
    weights["encoder.layer.0.output.dense.bias"] = torch.zeros(5)
    save_file(weights, encoder_copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"2 weights of the encoder are missing or have another shape"):
        load(encoder_copy)


def test_tokenizer_that_is_not_berts(encoder_copy: Path) -> None:
    (encoder_copy / "tokenizer.json").write_text("{}")
    with pytest.raises(CheckpointError, match="its tokenizer is damaged or not BERT's"):
        load(encoder_copy)


def test_tokenizer_of_another_model(encoder_copy: Path) -> None:
    (encoder_copy / "tokenizer.json").write_text(scratch_tokenizer([f"{c}{d}" for c in "abcdefgh" for d in "xyz"] * 9))
    edit(encoder_copy / "config.json", lambda config: config.update(vocab_size=10))
    with pytest.raises(CheckpointError, match=r"its tokenizer has \d+ entries, the model 10"):
        load(encoder_copy)


def test_max_length_over_the_positions(tiny_encoder: Path) -> None:
    with pytest.raises(OptionError, match=r"max_length is 65, but .* has 64 positions only"):
        load(tiny_encoder, max_length=65)


# From scratch, and what is written


def test_scratch_tokenizer_knows_its_words_and_chinese() -> None:
    encoder = TextEncoder(scratch_tokenizer(["Heart failure, heart attack", "心脏病", "心脏 heart"] * 3), max_length=32)
    (words,) = encoder.encode(["HEART heart"])
    assert words.input_ids[1] == words.input_ids[2]
    (chinese,) = encoder.encode(["心脏"])
    assert len(chinese) == 4
    assert 1 not in chinese.input_ids  # [UNK]


def test_scratch_tokenizer_is_the_same_each_time() -> None:
    texts = [f"w{i} word{i % 7} {i}x{i * 7} \u5fc3{chr(0x4E00 + i)}" for i in range(2_000)]
    assert len({scratch_tokenizer(texts) for _ in range(3)}) == 1  # the library's trainer alone gives three


def test_scratch_takes_long_texts() -> None:
    assert load(SCRATCH, max_length=700).model.config.max_position_embeddings == 700


def test_saved_tokenizer_is_read_by_transformers_with_the_same_ids(tmp_path: Path, tiny_encoder: Path) -> None:
    from transformers import AutoTokenizer

    (tmp_path / "config.json").write_bytes((tiny_encoder / "config.json").read_bytes())
    edit_source = json.loads((tiny_encoder / "tokenizer.json").read_bytes())
    edit_source["truncation"] = {"direction": "Right", "max_length": 9, "strategy": "LongestFirst", "stride": 0}
    save_tokenizer(tmp_path, json.dumps(edit_source), max_length=32)
    saved = json.loads((tmp_path / "tokenizer.json").read_bytes())
    assert (saved["truncation"], saved["padding"]) == (None, None)
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    texts = ["Ba CE di-fo 5 mg", "zo" * 90, "te vi zo " * 30]
    ours = TextEncoder((tmp_path / "tokenizer.json").read_text(), max_length=32).encode(texts)
    for text, one in zip(texts, ours, strict=True):
        assert theirs(text, truncation=True)["input_ids"] == one.input_ids.tolist()
    assert theirs.model_max_length == 32
    vocabulary = (tmp_path / "vocab.txt").read_text(encoding="utf-8").splitlines()
    assert [theirs.convert_tokens_to_ids(token) for token in vocabulary] == list(range(len(vocabulary)))
    assert len(list(tmp_path.iterdir())) == 5
