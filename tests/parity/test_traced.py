"""DeBERTa, ModernBERT, ALBERT and others through PyTorch's own graph, against PyTorch; what cannot pass is refused."""

from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from conftest import LABELS, WORDS, labelled_rows, write_csv
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from medclf.errors import ExportError, GateError
from medclf.labels import Labels
from medclf.runtime import Classifier
from medclf.runtime.session import Session
from medclf.tokenizer import TextEncoder
from medclf.train.checkpoint import Checkpoint
from medclf_export import gates
from medclf_export.checkpoint_model import CheckpointModel
from medclf_export.model import Model
from medclf_export.pipeline import ExportOptions, export_bundle
from medclf_export.quality import Budget
from medclf_export.route import find_route
from medclf_export.traced import Traced

SHAPE = {"vocab_size": 300, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
         "intermediate_size": 64, "max_position_embeddings": 32}  # fmt: skip
SPECIAL_IDS = {"pad_token_id": 0, "cls_token_id": 1, "bos_token_id": 1, "sep_token_id": 2, "eos_token_id": 2}
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "deberta-v3": (
        "DebertaV2",
        SHAPE | {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_buckets": 8,
                 "share_att_key": True, "norm_rel_ebd": "layer_norm", "position_biased_input": False,
                 "type_vocab_size": 0},
    ),
    "modernbert": (
        "ModernBert",
        SHAPE | SPECIAL_IDS | {"num_hidden_layers": 3, "global_attn_every_n_layers": 3, "local_attention": 8},
    ),
    "albert": ("Albert", SHAPE | {"embedding_size": 16}),
    "mpnet": ("MPNet", SHAPE | {"max_position_embeddings": 34}),
    "squeezebert": ("SqueezeBert", SHAPE | {"embedding_size": 32, "num_hidden_layers": 1}),
    "fnet": ("FNet", SHAPE),
    "convbert": ("ConvBert", SHAPE | {"embedding_size": 16}),
    "canine": ("Canine", SHAPE),
    "xlnet": ("XLNet", {"vocab_size": 300, "d_model": 32, "n_layer": 1, "n_head": 2, "d_inner": 64}),
}  # fmt: skip
# Linear layers that can be INT8, and how many inputs are quantized for them: query, key and value share theirs.
LINEARS = {"deberta-v3": (12, 8), "modernbert": (12, 12), "albert": (12, 8), "mpnet": (12, 8)}


def save(name: str, folder: Path, **changes: Any) -> torch.nn.Module:
    """Save a random classifier whose weights are large, so that an error shows."""
    kind, options = MODELS[name]
    config = getattr(transformers, f"{kind}Config")(**{**options, **changes, **Labels(LABELS).config()})
    torch.manual_seed(3)
    model = getattr(transformers, f"{kind}ForSequenceClassification")(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3.0) if parameter.ndim > 1 else parameter.add_(0.2 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    return model


def opened(name: str, folder: Path, *, temperature: float = 1.0) -> SimpleNamespace:
    """The route of such a checkpoint, its model in PyTorch and inputs for the gates."""
    config = save(name, folder).config.to_dict()
    checkpoint = Checkpoint(folder, config, Labels(LABELS), None)
    model = CheckpointModel(checkpoint)
    route = find_route(checkpoint, model, temperature=temperature)
    assert isinstance(route, Traced)
    inputs = list(gates.batches(route.signature))
    references = [model.forward(batch) for _, batch in inputs]
    return SimpleNamespace(name=name, route=route, model=model, inputs=inputs, references=references)


SLOW_TOO = pytest.param("mpnet", marks=pytest.mark.slow)


@pytest.fixture(params=["deberta-v3", "modernbert", "albert", SLOW_TOO], scope="module")
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    return opened(request.param, tmp_path_factory.mktemp(request.param))


def session(model: Model) -> Session:
    return Session(model.to_bytes())


def operators(model: Model) -> Counter[str]:
    return Counter(node.op_type for node in model.proto.graph.node)


def test_fp32_is_pytorch_for_every_shape_and_mask(pair: SimpleNamespace, tmp_path: Path) -> None:
    model = pair.route.build({"key": "value"})
    gates.check_signature(model.save(tmp_path / "model.onnx")[0], pair.route.signature)
    assert {entry.key: entry.value for entry in model.proto.metadata_props} == {"key": "value"}
    assert pair.route.signature.n_positions == 32
    assert gates.check_parity(session(model), "fp32", pair.inputs, pair.references)["max_difference"] < 2e-5
    gates.check_invariance(session(model), "fp32", pair.inputs)


def test_int8_is_near_and_the_same_in_any_batch(pair: SimpleNamespace, tmp_path: Path) -> None:
    model = pair.route.build({}, int8=set(pair.route.linears))
    gates.check_signature(model.save(tmp_path / "model.onnx")[0], pair.route.signature)
    assert gates.check_invariance(session(model), "int8", pair.inputs)["max_difference"] < 2e-6
    exact, near = pair.references[8], session(model).run(pair.inputs[8][1])
    assert 0 < np.abs(exact - near).max() < 0.1 * exact.std()


def test_linear_layers_over_tokens_are_int8_and_no_others(pair: SimpleNamespace) -> None:
    names, (n_linears, n_inputs) = pair.route.linears, LINEARS[pair.name]
    assert len(set(names)) == len(names) == n_linears
    kinds = Counter(name.partition(".")[0] for name in names)
    assert set(kinds) == {f"layer_{i}" for i in range(len(kinds))}
    assert len(set(kinds.values())) == 1
    n_nodes = operators(pair.route.build({}, int8=set(names)))
    assert (n_nodes["MatMulIntegerToFloat"], n_nodes["QuantizeLinear"]) == (n_linears, n_inputs)
    assert operators(pair.route.build({}, int8={names[3]}))["MatMulIntegerToFloat"] == 1


def test_a_weight_is_kept_once_and_in_fp32_only_where_it_is_needed(pair: SimpleNamespace) -> None:
    fp32, left = (set(pair.route.build({}, int8=chosen).weights) for chosen in (set(), set(pair.route.linears)))
    rounded = {name.removesuffix("_int8") for name in left if name.endswith("_int8")}
    assert rounded < fp32
    assert len(rounded) == (6 if pair.name == "albert" else 12)  # the layers of ALBERT are one
    # DeBERTa multiplies its relative positions, which stay fp32, by the weights of query and key.
    assert len(rounded & left) == (4 if pair.name == "deberta-v3" else 0)


def test_the_temperature_divides_the_logits(tmp_path: Path) -> None:
    pair = opened("albert", tmp_path, temperature=2.0)
    batch = pair.inputs[8][1]
    logits = session(pair.route.build({})).run(batch)
    assert 2 * logits == pytest.approx(pair.model.forward(batch), abs=1e-5)


def test_no_linear_layer_is_named_where_convolutions_stand_for_them(tmp_path: Path) -> None:
    assert opened("squeezebert", tmp_path).route.linears == ()


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("fnet", r"config.json: PyTorch cannot trace model_type fnet \(UnsupportedOperatorError"),
        ("xlnet", "config.json: max_position_embeddings is -1, expected a number"),
    ],
)
def test_an_architecture_that_cannot_be_traced(
    name: str, match: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ExportError, match=match):
        opened(name, tmp_path)
    assert capfd.readouterr().out == ""


def test_an_answer_that_depends_on_padding_is_refused(tmp_path: Path) -> None:
    pair = opened("convbert", tmp_path)  # its convolutions see the padding, in PyTorch as well
    with pytest.raises(GateError, match="a text alone and in a batch differ"):
        gates.check_invariance(session(pair.route.build({})), "fp32", pair.inputs)


def test_a_model_that_does_not_take_every_shape_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"PyTorch fails on 1 x 1 tokens \(RuntimeError\)"):
        opened("canine", tmp_path)


def write_unigram(folder: Path) -> int:
    """Write a tokenizer as DeBERTa-v3 has it, and give its number of tokens."""
    pieces = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "\u2581", *(f"\u2581{word}" for word in WORDS)]
    tokenizer = Tokenizer(models.Unigram([(piece, -1.0 * i) for i, piece in enumerate(pieces)], unk_id=3))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        "[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1", [("[CLS]", 1), ("[SEP]", 2)]
    )
    tokenizer.add_special_tokens(["[PAD]", "[CLS]", "[SEP]", "[UNK]"])
    tokenizer.save(str(folder / "tokenizer.json"))
    return len(pieces)


def decided(folder: Path, model: torch.nn.Module, texts: list[str]) -> list[str]:
    """Give every label its share of the texts, save the model again, and give PyTorch's labels."""
    encoder = TextEncoder((folder / "tokenizer.json").read_text(), max_length=32)
    batch = encoder.pad(encoder.encode(texts))
    inputs = {"input_ids": torch.from_numpy(batch.input_ids), "attention_mask": torch.from_numpy(batch.attention_mask)}
    with torch.no_grad():
        logits = model(**inputs).logits
        model.classifier.weight.div_(logits.std(0)[:, None])
        model.classifier.bias.sub_(logits.mean(0)).div_(logits.std(0))
        labels = model(**inputs).logits.argmax(-1)
    model.save_pretrained(folder)
    return [LABELS[i] for i in labels]


def test_from_a_checkpoint_to_pytorchs_labels(tmp_path: Path) -> None:
    folder, rows = tmp_path / "checkpoint", labelled_rows(120, seed=5)
    folder.mkdir()
    texts = [row["text"] for row in rows]
    model = save("deberta-v3", folder, vocab_size=write_unigram(folder), num_hidden_layers=1)
    labels = decided(folder, model, texts)
    budget = Budget(min_agreement=90.0, max_f1_drop=10.0, min_speedup=0.0)  # a random model decides by a hair
    held_out = write_csv(tmp_path / "rows.csv", rows)
    export_bundle(ExportOptions(folder, tmp_path / "bundle", quantize="on", eval_data=held_out, budget=budget))
    fp32, int8 = (Classifier.load(tmp_path / "bundle", precision=one, threads=1) for one in ("fp32", "int8"))
    assert set(labels) == set(LABELS)
    assert fp32.predict(texts) == labels
    assert np.mean([a == b for a, b in zip(int8.predict(texts), labels, strict=True)]) > 0.9
