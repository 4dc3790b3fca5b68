"""The architectures that `encoder.py` builds: what their configuration and weights are called, brought to BERT's names.

BERT, DistilBERT, RoBERTa (with XLM-R and CamemBERT) and ELECTRA are one encoder. They differ in names, in how a token
gets its position, and in the head.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from medclf.errors import ExportError
from medclf_export.linear import Linear
from medclf_export.model import Array
from medclf_export.signature import INPUTS, Signature


@dataclass(frozen=True)
class Family:
    """How one `model_type` differs from BERT.

    Attributes:
        prefix: What the names of the encoder's weights begin with.
        renames: Parts of weight names -> what to put in their place.
        keys: BERT's key of `config.json` -> the key here.
        head: Activation between the two linear layers of the head.
        has_types: Whether the tokenizer gives token types.
        counts_positions: Whether a token's position counts the tokens before it that are not padding, starting after
            `pad_token_id`; else it is the token's column.
    """

    prefix: str
    renames: Mapping[str, str]
    keys: Mapping[str, str] = field(default_factory=dict)
    head: str = "Tanh"
    has_types: bool = True
    counts_positions: bool = False


OUT_PROJ = {"classifier.dense.": "head.", "classifier.out_proj.": "classifier."}
ROBERTA = Family("roberta.", OUT_PROJ, has_types=False, counts_positions=True)
FAMILIES = {
    "bert": Family("bert.", {"pooler.dense.": "head."}),
    "distilbert": Family(
        "distilbert.",
        {
            "transformer.layer.": "encoder.layer.",
            ".q_lin.": ".self.query.",
            ".k_lin.": ".self.key.",
            ".v_lin.": ".self.value.",
            ".out_lin.": ".output.dense.",
            ".sa_layer_norm.": ".attention.output.LayerNorm.",
            ".ffn.lin1.": ".intermediate.dense.",
            ".ffn.lin2.": ".output.dense.",
            ".output_layer_norm.": ".output.LayerNorm.",
            "pre_classifier.": "head.",
        },
        {"num_hidden_layers": "n_layers", "num_attention_heads": "n_heads", "hidden_size": "dim",
         "hidden_act": "activation"},
        head="Relu",
        has_types=False,
    ),
    "electra": Family("electra.", OUT_PROJ, head="Gelu"),
    "roberta": ROBERTA,
    "xlm-roberta": ROBERTA,
    "camembert": ROBERTA,
}  # fmt: skip


@dataclass(frozen=True)
class EncoderConfig:
    """What of `config.json` shapes the graph.

    Attributes:
        n_layers: Number of encoder layers.
        n_heads: Attention heads a layer.
        hidden_size: Width of the residual stream.
        epsilon: Of LayerNorm.
        activation: Its `hidden_act`.
        head: Operator between the two linear layers of the head.
        pad_id: The token whose place is not counted, where positions are counted; None where they are columns.
        signature: What the graph takes and gives.
    """

    n_layers: int
    n_heads: int
    hidden_size: int
    epsilon: float
    activation: str
    head: str
    pad_id: int | None
    signature: Signature

    @classmethod
    def from_config(cls, config: Mapping[str, Any], *, n_labels: int, where: str) -> "EncoderConfig":
        """Read a `config.json` and refuse what this graph cannot express.

        Args:
            config: The parsed file, of a `model_type` in `FAMILIES`.
            n_labels: Number of labels.
            where: Its path, for messages.

        Returns:
            The shape of the graph.

        Raises:
            ExportError: A field is missing or wrong, or asks for a feature that these classifiers do not have.
        """
        family = FAMILIES[config["model_type"]]
        config = dict(config) | {key: config[own] for key, own in family.keys.items() if own in config}
        _refuse_features(config, where)
        try:
            pad_id = int(config["pad_token_id"]) if family.counts_positions else None
            return cls(
                n_layers=int(config["num_hidden_layers"]),
                n_heads=int(config["num_attention_heads"]),
                hidden_size=int(config["hidden_size"]),
                epsilon=float(config.get("layer_norm_eps", 1e-12)),
                activation=config.get("hidden_act", "gelu"),
                head=family.head,
                pad_id=pad_id,
                signature=Signature(
                    inputs=INPUTS if family.has_types else INPUTS[:2],
                    n_labels=n_labels,
                    vocabulary_size=int(config["vocab_size"]),
                    n_positions=int(config["max_position_embeddings"]) - (0 if pad_id is None else pad_id + 1),
                    n_types=int(config.get("type_vocab_size", 2)) if family.has_types else 1,
                ),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ExportError(f"{where}: a field that shapes the model is missing or wrong: {error}.") from error


# Hugging Face's hidden_act -> operator and its attributes
ACTIVATIONS: dict[str, tuple[str, dict[str, str]]] = {
    "gelu": ("Gelu", {}),
    "gelu_new": ("Gelu", {"approximate": "tanh"}),
    "gelu_pytorch_tanh": ("Gelu", {"approximate": "tanh"}),
    "relu": ("Relu", {}),
}


def _refuse_features(config: Mapping[str, Any], where: str) -> None:
    unknown = {
        "hidden_act": config.get("hidden_act", "gelu") not in ACTIVATIONS,
        "position_embedding_type": config.get("position_embedding_type", "absolute") != "absolute",
        "is_decoder": bool(config.get("is_decoder", False)),
    }
    faults = [f"{key} = {config[key]!r}" for key, wrong in unknown.items() if wrong]
    if faults:
        raise ExportError(f"{where}: the export of {config['model_type']} does not support {', '.join(faults)}.")


class Weights:
    """The state dict of a checkpoint, read by BERT's names without `bert.`; its head is `head`, `classifier`."""

    def __init__(self, state: Mapping[str, Array], model_type: str, *, half: bool = False) -> None:
        """Take the weights.

        Args:
            state: Name -> float32 array, as PyTorch names and shapes them.
            model_type: Key of `FAMILIES`.
            half: Whether the encoder's weights are given in fp16; the head's never are.
        """
        self.half = half
        family = FAMILIES[model_type]
        self._names = {_bert_name(name, family): name for name in state}
        self._state = state

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def __getitem__(self, name: str) -> Array:
        if name not in self._names:
            raise ExportError(
                f"the checkpoint has no weight for {name!r}: it is not a classifier of this architecture."
            )
        in_head = name.startswith(("head.", "classifier."))
        dtype = np.float16 if self.half and not in_head else np.float32
        return np.asarray(self._state[self._names[name]], dtype=dtype)

    def linear(self, prefix: str) -> Linear:
        """Give the linear layer whose weight and bias begin with `prefix`."""
        return Linear(self[f"{prefix}.weight"], self[f"{prefix}.bias"])


def _bert_name(name: str, family: Family) -> str:
    name = name.removeprefix(family.prefix)
    for old, new in family.renames.items():
        name = name.replace(old, new)
    return name
