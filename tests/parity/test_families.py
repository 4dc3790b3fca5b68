"""DistilBERT, RoBERTa, XLM-R, CamemBERT and ELECTRA through the builder of BERT, against PyTorch."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from conftest import MAX_LENGTH

from medclf.errors import ExportError
from medclf.runtime.session import Session
from medclf.tokenizer import Batch
from medclf_export import gates
from medclf_export.encoder import Built
from medclf_export.families import EncoderConfig

SHAPE = {"vocab_size": 300, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
         "intermediate_size": 64, "max_position_embeddings": MAX_LENGTH, "num_labels": 3}  # fmt: skip
COUNTED = SHAPE | {"max_position_embeddings": MAX_LENGTH + 2, "type_vocab_size": 1, "pad_token_id": 1}
MODELS: dict[str, tuple[type, dict[str, Any]]] = {
    "distilbert": (
        transformers.DistilBertForSequenceClassification,
        {"vocab_size": 300, "dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64, "num_labels": 3,
         "max_position_embeddings": MAX_LENGTH},
    ),
    "roberta": (transformers.RobertaForSequenceClassification, COUNTED),
    "xlm-roberta": (transformers.XLMRobertaForSequenceClassification, COUNTED),
    "camembert": (transformers.CamembertForSequenceClassification, COUNTED),
    "electra": (transformers.ElectraForSequenceClassification, SHAPE | {"embedding_size": 16}),
}  # fmt: skip


@pytest.fixture(params=MODELS, scope="module")
def pair(request: pytest.FixtureRequest) -> SimpleNamespace:
    """A random classifier in PyTorch and its route."""
    torch.manual_seed(3)
    model_class, options = MODELS[request.param]
    model = model_class(model_class.config_class(**options)).eval()
    with torch.no_grad():
        for parameter in model.parameters():  # large weights, so that an error shows
            parameter.mul_(3.0) if parameter.ndim > 1 else parameter.add_(0.2 * torch.randn_like(parameter))
    config = EncoderConfig.from_config(model.config.to_dict(), n_labels=3, where="config.json")
    state = {name: value.numpy() for name, value in model.state_dict().items()}

    @torch.inference_mode()
    def forward(batch: Batch) -> np.ndarray:
        feed = {name: torch.from_numpy(batch.feed()[name]) for name in config.signature.inputs}
        return np.asarray(model(**feed).logits.numpy())

    route = Built(config, request.param, lambda: state)
    inputs = list(gates.batches(route.signature))
    return SimpleNamespace(route=route, inputs=inputs, references=[forward(batch) for _, batch in inputs])


def test_fp32_is_pytorch_for_every_shape_and_mask(pair: SimpleNamespace, tmp_path: Path) -> None:
    paths = pair.route.build({}).save(tmp_path / "model.onnx")
    gates.check_signature(paths[0], pair.route.signature)
    measured = gates.check_parity(Session(paths[0]), "fp32", pair.inputs, pair.references)
    assert measured["max_difference"] < 2e-5


def test_int8_is_near_and_the_same_in_any_batch(pair: SimpleNamespace) -> None:
    session = Session(pair.route.build({}, int8=set(pair.route.linears)).to_bytes())
    assert gates.check_invariance(session, "int8", pair.inputs)["max_difference"] < 1e-6
    exact, near = pair.references[8], session.run(pair.inputs[8][1])
    assert 0 < np.abs(exact - near).max() < 0.5 * exact.std()


def test_weights_of_another_architecture_are_refused(pair: SimpleNamespace) -> None:
    strange = Built(pair.route.config, "bert", lambda: {"transformer.wte.weight": np.zeros((3, 3))})
    with pytest.raises(ExportError, match="the checkpoint has no weight for 'embeddings"):
        strange.build({})


def test_fp16_is_near_pytorch(pair: SimpleNamespace) -> None:
    session = Session(pair.route.build({}, half=True).to_bytes())
    measured = gates.check_parity(session, "fp16", pair.inputs, pair.references)
    assert 0 < measured["max_difference"] < 1e-2
