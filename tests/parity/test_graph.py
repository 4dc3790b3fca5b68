"""The exported graph against PyTorch, for every mask, and its operators after ONNX Runtime's own optimisation."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from conftest import LABELS, bert_config
from transformers import BertForSequenceClassification

from medclf.runtime.session import Session
from medclf.tokenizer import Batch
from medclf_export import gates
from medclf_export.encoder import EncoderGraph, linear_names
from medclf_export.families import EncoderConfig, Weights
from medclf_export.model import Model


class Pair:
    """A model in PyTorch and its graphs."""

    def __init__(self, **changes: object) -> None:
        torch.manual_seed(3)
        self.torch = BertForSequenceClassification(bert_config(num_labels=len(LABELS), **changes)).eval()
        with torch.no_grad():
            for parameter in self.torch.parameters():  # large weights, so that an error shows
                parameter.mul_(3.0) if parameter.ndim > 1 else parameter.add_(0.2 * torch.randn_like(parameter))
        config = self.torch.config.to_dict()
        self.config = EncoderConfig.from_config(config, n_labels=len(LABELS), where="config.json")
        self.weights = Weights({name: value.numpy() for name, value in self.torch.state_dict().items()}, "bert")

    def graph(self, *, int8: bool = False, temperature: float = 1.0) -> Model:
        layers = frozenset(linear_names(self.config)) if int8 else frozenset()
        return EncoderGraph(self.config, self.weights, int8=layers, temperature=temperature).build({})

    def session(self, *, int8: bool = False, temperature: float = 1.0) -> Session:
        return Session(self.graph(int8=int8, temperature=temperature).to_bytes())

    @torch.inference_mode()
    def forward(self, batch: Batch) -> np.ndarray:
        return self.torch(**{name: torch.from_numpy(value) for name, value in batch.feed().items()}).logits.numpy()


@pytest.fixture(scope="module")
def pair() -> Pair:
    return Pair()


def inputs(pair: Pair) -> list[tuple[str, Batch]]:
    return list(gates.batches(pair.config.signature))


def check_parity(pair: Pair, session: Session, factor: float = 1.0) -> dict[str, Any]:
    references = [factor * pair.forward(batch) for _, batch in inputs(pair)]
    return gates.check_parity(session, "fp32", inputs(pair), references)


def test_fp32_is_pytorch_for_every_shape_and_mask(pair: Pair) -> None:
    session = pair.session()
    for name, batch in inputs(pair):
        assert np.abs(session.run(batch) - pair.forward(batch)).max() < 2e-5, name


@pytest.mark.parametrize("changes", [{"num_hidden_layers": 1}, {"hidden_act": "gelu_new"}, {"hidden_act": "relu"},
                                     {"type_vocab_size": 1}, {"num_attention_heads": 8}])  # fmt: skip
def test_fp32_is_pytorch_for_other_shapes_of_model(changes: dict[str, object]) -> None:
    other = Pair(**changes)
    measured = check_parity(other, other.session())
    assert measured["max_difference"] < 2e-5


def test_the_parity_gate_sees_one_wrong_weight(pair: Pair) -> None:
    state = dict(pair.weights._state)
    state["bert.encoder.layer.0.attention.output.dense.bias"] = state["classifier.bias"].mean() + np.zeros(32)
    wrong = EncoderGraph(pair.config, Weights(state, "bert")).build({})
    with pytest.raises(gates.GateError, match=r"fp32 differs from PyTorch by up to .* Please report"):
        check_parity(pair, Session(wrong.to_bytes()))


def test_the_parity_gate_sees_nan(pair: Pair) -> None:
    with pytest.raises(gates.GateError, match="fp32 differs from PyTorch by up to nan"):
        check_parity(pair, pair.session(), factor=np.nan)


def test_the_parity_gate_sees_a_graph_that_fails_on_a_shape(pair: Pair) -> None:
    too_long = np.full((1, pair.config.signature.n_positions + 1), 7)
    batch = Batch(too_long, np.ones_like(too_long), np.zeros_like(too_long))
    with pytest.raises(gates.GateError, match=r"fp32 fails on too long \(1 x 65 tokens\): the graph"):
        gates.check_parity(pair.session(), "fp32", [("too long", batch)], [np.zeros((1, 3), np.float32)])


@pytest.mark.parametrize("int8", [False, True])
def test_a_text_is_the_same_alone_and_in_any_batch(pair: Pair, int8: bool) -> None:
    measured = gates.check_invariance(pair.session(int8=int8), "int8" if int8 else "fp32", inputs(pair))
    assert measured["max_difference"] <= (1e-6 if int8 else 1e-5)
    assert measured["n_texts"] > 100


def test_the_last_attention_is_equal_to_the_bit_alone_and_in_a_batch(pair: Pair, tmp_path: Path) -> None:
    """What ONNX Runtime sums for [CLS] must not depend on the padding: in INT8 it could tip a rounding."""
    import onnxruntime

    (tmp_path / "model.onnx").write_bytes(pair.graph(int8=True).to_bytes())
    model = onnx.load(tmp_path / "model.onnx")
    name = f"layer_{pair.config.n_layers - 1}_context"
    model.graph.output.append(onnx.ValueInfoProto(name=name))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    wide = pair.config.signature.n_positions
    lengths = np.arange(1, wide + 1)
    ids = np.random.default_rng(0).integers(5, 100, (wide, wide))
    mask = (np.arange(wide) < lengths[:, None]).astype(np.int64)
    feeds = [Batch(ids, mask, np.zeros_like(ids))]
    feeds += [Batch(ids[row : row + 1, :n], mask[row : row + 1, :n], ids[:1, :n] * 0) for row, n in enumerate(lengths)]
    taken = {one.name for one in session.get_inputs()}
    together, *alone = (
        session.run([name], {key: value for key, value in batch.feed().items() if key in taken})[0] for batch in feeds
    )
    assert np.array_equal(np.concatenate(alone), together)


def test_the_invariance_gate_sees_an_answer_that_depends_on_the_batch(pair: Pair) -> None:
    class Leaky(Session):
        def run(self, batch: Batch) -> np.ndarray:
            return super().run(batch) + np.float32(0.01 * len(batch.input_ids))

    leaky = Leaky(pair.graph().to_bytes())
    with pytest.raises(gates.GateError, match="a text alone and in a batch differ"):
        gates.check_invariance(leaky, "fp32", inputs(pair))


@pytest.mark.parametrize("int8", [False, True])
def test_a_row_without_a_token_takes_nothing_from_its_neighbours(pair: Pair, int8: bool) -> None:
    session = pair.session(int8=int8)
    chance = np.random.default_rng(0)
    ids, mask = chance.integers(5, 100, (3, 20)), np.ones((3, 20), np.int64)
    mask[1] = 0
    first = session.run(Batch(ids, mask, np.zeros_like(ids)))
    others = ids.copy()
    others[[0, 2]] = chance.integers(5, 100, (2, 20))
    second = session.run(Batch(others, mask, np.zeros_like(ids)))
    assert np.isfinite(first).all()
    assert first[1] == pytest.approx(second[1], abs=1e-6)
    assert np.abs(first[0] - second[0]).max() > 1e-3


def test_a_text_longer_than_the_positions_is_an_error_not_an_answer(pair: Pair) -> None:
    too_long = np.full((1, pair.config.signature.n_positions + 1), 7)
    with pytest.raises(Exception, match="failed on a batch of 1 x 65"):
        pair.session().run(Batch(too_long, np.ones_like(too_long), np.zeros_like(too_long)))


def test_the_temperature_divides_the_logits(pair: Pair) -> None:
    batch = inputs(pair)[4][1]
    cold, hot = pair.session().run(batch), pair.session(temperature=2.0).run(batch)
    assert hot == pytest.approx(cold / 2, abs=1e-5)


def optimised_operators(model: Model, folder: Path) -> Counter[str]:
    """Operators of a graph as ONNX Runtime runs it."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(folder / "optimised.onnx")
    options.log_severity_level = 4
    onnxruntime.InferenceSession(model.to_bytes(), options, providers=["CPUExecutionProvider"])
    return Counter(node.op_type for node in onnx.load(folder / "optimised.onnx").graph.node)


def test_the_operators_that_run_in_fp32(pair: Pair, tmp_path: Path) -> None:
    operators = optimised_operators(pair.graph(), tmp_path)
    assert operators["SkipLayerNormalization"] == 0
    assert operators["LayerNormalization"] == 2 * 2 + 1
    assert operators["MultiHeadAttention"] == 2
    assert operators["Gemm"] + operators["FusedGemm"] == 4 + 5 + 2  # the last layer asks apart; pooler, classifier
    assert operators["MatMul"] == operators["Transpose"] - 1 == 0


def test_attention_has_a_mask_but_in_int8(pair: Pair) -> None:
    def given(model: Model) -> list[tuple[bool, bool]]:
        """Whether each attention is given a mask, and something to add to its scores."""
        nodes = [node for node in model.proto.graph.node if node.op_type == "MultiHeadAttention"]
        return [(any(node.input[4:5]), any(node.input[5:6])) for node in nodes]

    assert given(pair.graph()) == [(True, False), (False, True)]
    assert given(pair.graph(int8=True)) == [(False, False), (False, True)]


def test_the_operators_that_run_in_int8(pair: Pair, tmp_path: Path) -> None:
    operators = optimised_operators(pair.graph(int8=True), tmp_path)
    assert operators["MatMulIntegerToFloat"] == 4 + 5
    assert operators["QuantizeLinear"] == 4 + 5
    assert operators["BiasGelu"] == 2
    assert operators["MultiHeadAttention"] == 2
    assert operators["Gemm"] + operators["FusedGemm"] == 2
    for slow in ("SkipLayerNormalization", "DynamicQuantizeLinear", "MatMulInteger", "Div", "Split"):
        assert operators[slow] == 0, slow
