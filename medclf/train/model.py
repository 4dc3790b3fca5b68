"""The encoder and tokenizer that training begins from: a folder, a hub id, or a small BERT from scratch.

Weights are read from safetensors only; a pickle is never opened, and code from the hub never run.
"""

import inspect
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tokenizers
import torch
import transformers

from medclf.errors import CheckpointError, OptionError
from medclf.labels import Labels
from medclf.tokenizer import TextEncoder
from medclf.train.head import renew_output
from medclf.train.options import SCRATCH, TrainOptions
from medclf.train.scratch import scratch_config, scratch_tokenizer

ADAPTERS = 10  # learning rate of adapters over that of whole weights
WHAT_TO_DO = (
    f"Give --model FOLDER with a BERT that you have, or --model {SCRATCH} for a small BERT without pretrained weights."
)


@dataclass(frozen=True)
class Start:
    """What training begins from.

    Attributes:
        model: A sequence classifier of transformers with a new head, float32.
        tokenizer_json: Contents of its `tokenizer.json`.
        encoder: The same tokenizer with the run's policy for long texts.
        head_is_new: Whether the head has no weights that were trained for these labels.
    """

    model: Any
    tokenizer_json: str
    encoder: TextEncoder
    head_is_new: bool = True


def load_start(options: TrainOptions, labels: Labels, texts: Sequence[str]) -> Start:
    """Load the encoder that the options name; the seed makes the new weights the same each time.

    Args:
        options: Of the run.
        labels: The label contract, which the model's configuration carries from here on.
        texts: Training texts, from which a model from scratch takes its vocabulary.

    Returns:
        The model and its tokenizer.

    Raises:
        CheckpointError: It cannot be had, or is not a BERT-like encoder.
        OptionError: `max_length` is over the positions of the model.
    """
    if options.model == SCRATCH:
        tokenizer_json = scratch_tokenizer(texts)
        vocab_size = tokenizers.Tokenizer.from_str(tokenizer_json).get_vocab_size()
        config = scratch_config(vocab_size=vocab_size, max_length=options.max_length)
        config.update(labels.config())
        transformers.set_seed(options.seed)
        model = transformers.BertForSequenceClassification(config)
        encoder = TextEncoder(tokenizer_json, max_length=options.max_length, long_text=options.policy)
        return Start(model, tokenizer_json, encoder)
    source, local = _source(options.model)
    config = encoder_config(source, local=local)
    positions = getattr(config, "max_position_embeddings", None)
    if positions is not None and options.max_length > positions:
        raise OptionError(f"max_length is {options.max_length}, but {options.model} has {positions} positions only.")
    tokenizer_json = _tokenizer_json(source, local=local)
    encoder = _encoder(source, tokenizer_json, options, vocab_size=config.vocab_size)
    known = tuple((config.id2label or {}).values())
    config.update(labels.config())
    transformers.set_seed(options.seed)
    model, new = load_classifier(source, config, local=local)
    other_labels = known != labels.names
    if other_labels and not new:
        renew_output(model)
    return Start(model, tokenizer_json, encoder, head_is_new=bool(new) or other_labels)


def learning_rate_for(options: TrainOptions, hidden_size: int) -> float:
    """Choose the learning rate: narrow models learn with a higher one, and new ones with a much higher one.

    Args:
        options: Of the run; a rate that it gives is taken.
        hidden_size: Width of the encoder.

    Returns:
        The highest learning rate of the run.
    """
    if options.learning_rate is not None:
        return options.learning_rate
    if options.model == SCRATCH:
        return 2e-4
    rate = 1e-4 if hidden_size <= 512 else 5e-5 if hidden_size <= 768 else 2e-5
    return rate if options.lora is None else ADAPTERS * rate


def save_tokenizer(folder: Path, tokenizer_json: str, *, max_length: int) -> None:
    """Write the four files by which other tools know a BERT tokenizer, the same ones with any transformers.

    Args:
        folder: An existing folder.
        tokenizer_json: Contents of a `tokenizer.json` of a WordPiece tokenizer.
        max_length: Most tokens of a text, for `model_max_length`.
    """
    tokenizer = tokenizers.Tokenizer.from_str(tokenizer_json)
    tokenizer.no_padding()
    tokenizer.no_truncation()
    special = {f"{token.strip('[]').lower()}_token": token for token in ("[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]")}
    special = {name: token for name, token in special.items() if tokenizer.token_to_id(token) is not None}
    normalizer = json.loads(tokenizer_json).get("normalizer") or {}
    config = {
        "tokenizer_class": "BertTokenizer",
        "do_lower_case": bool(normalizer.get("lowercase", False)),
        "strip_accents": normalizer.get("strip_accents"),
        "tokenize_chinese_chars": bool(normalizer.get("handle_chinese_chars", True)),
        "model_max_length": max_length,
        **special,
    }
    by_id = sorted(tokenizer.get_vocab(with_added_tokens=True).items(), key=lambda entry: entry[1])
    contents = {
        "tokenizer.json": tokenizer.to_str(pretty=True),
        "tokenizer_config.json": json.dumps(config, indent=2),
        "special_tokens_map.json": json.dumps(special, indent=2),
        "vocab.txt": "\n".join(token for token, _ in by_id),
    }
    for name, content in contents.items():
        (folder / name).write_text(content + "\n", encoding="utf-8", newline="\n")


def _source(name: str) -> tuple[str, bool]:
    """Tell a folder from a hub id, so that a mistyped folder is never asked for on the network."""
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise CheckpointError(f"model {name}: the folder has no config.json, so it is not a model. {WHAT_TO_DO}")
        return str(folder), True
    if folder.exists():
        raise CheckpointError(f"model {name}: this is a file, the folder of a model was expected. {WHAT_TO_DO}")
    if name.startswith((".", "/", "~")) or name.count("/") > 1 or "\\" in name:
        raise CheckpointError(f"model {name}: the folder does not exist. {WHAT_TO_DO}")
    return name, False


def _unavailable(source: str, error: Exception, *, local: bool) -> CheckpointError:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    where = "cannot be loaded" if local else "is no folder here and cannot be loaded from the Hugging Face hub"
    return CheckpointError(f"model {source}: it {where} ({reason}). {WHAT_TO_DO}")


def encoder_config(source: str, *, local: bool) -> Any:
    """Read the configuration of an encoder; without dropout of attention, which has no fused kernel on a CPU.

    Args:
        source: Its folder or hub id.
        local: Whether it is a folder.

    Returns:
        The configuration.

    Raises:
        CheckpointError: It cannot be had, or is not that of a BERT-like encoder.
    """
    try:
        config = transformers.AutoConfig.from_pretrained(source, local_files_only=local, trust_remote_code=False)
    except Exception as error:  # the hub has errors of its own
        raise _unavailable(source, error, local=local) from error
    model_class = transformers.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING.get(type(config), None)
    is_encoder = type(config) in transformers.MODEL_FOR_MASKED_LM_MAPPING
    if not is_encoder or "token_type_ids" not in inspect.signature(model_class.forward).parameters:
        raise CheckpointError(
            f"model {source}: architecture {config.model_type!r} is not a BERT-like encoder for classification. "
            f"Expected BERT or a descendant (BioBERT, PubMedBERT, ClinicalBERT, MiniLM). {WHAT_TO_DO}"
        )
    config.attention_probs_dropout_prob = 0.0
    return config


def _tokenizer_json(source: str, *, local: bool) -> str:
    file = Path(source) / "tokenizer.json"
    if local and file.is_file():
        return file.read_text(encoding="utf-8")
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(source, local_files_only=local, trust_remote_code=False)
        return str(tokenizer.backend_tokenizer.to_str())
    except (OSError, ValueError, KeyError, AttributeError, ImportError) as error:
        raise _unavailable(source, error, local=local) from error


def _encoder(source: str, tokenizer_json: str, options: TrainOptions, *, vocab_size: int) -> TextEncoder:
    try:
        encoder = TextEncoder(tokenizer_json, max_length=options.max_length, long_text=options.policy)
        tokenizer = tokenizers.Tokenizer.from_str(tokenizer_json)
    except Exception as error:  # tokenizers raises nothing narrower for a file that it cannot parse
        raise CheckpointError(
            f"model {source}: its tokenizer is damaged or not BERT's ({type(error).__name__}). {WHAT_TO_DO}"
        ) from error
    if not isinstance(tokenizer.model, tokenizers.models.WordPiece):
        kind = type(tokenizer.model).__name__
        raise CheckpointError(f"model {source}: its tokenizer is {kind}, BERT's WordPiece was expected. {WHAT_TO_DO}")
    if tokenizer.get_vocab_size() > vocab_size:
        raise CheckpointError(
            f"model {source}: its tokenizer has {tokenizer.get_vocab_size():,} entries, the model {vocab_size:,}. "
            "They do not belong together."
        )
    return encoder


def load_classifier(source: str, config: Any, *, local: bool) -> tuple[Any, list[str]]:
    """Load an encoder with a head for the labels of its configuration.

    Args:
        source: Its folder or hub id.
        config: Of `encoder_config`, with labels.
        local: Whether it is a folder.

    Returns:
        A sequence classifier, float32; and the names of the head's weights that are new, without the pooler's.

    Raises:
        CheckpointError: Weights cannot be had, or some of the encoder are missing.
    """
    if local and not any(Path(source).glob("*.safetensors")):
        raise CheckpointError(
            f"model {source}: no model.safetensors in the folder, and pickled weights are never opened. "
            "Save the model with save_pretrained of transformers 4.57 or later."
        )
    try:
        model, info = transformers.AutoModelForSequenceClassification.from_pretrained(
            source,
            config=config,
            dtype=torch.float32,
            use_safetensors=True,
            local_files_only=local,
            trust_remote_code=False,
            ignore_mismatched_sizes=True,  # a head for other labels is replaced; anything else is refused below
            output_loading_info=True,
        )
    except Exception as error:  # safetensors and the hub have errors of their own
        raise _unavailable(source, error, local=local) from error
    mismatched = [key if isinstance(key, str) else key[0] for key in info["mismatched_keys"]]  # 4 names, 5 adds shapes
    wrong = [*info["missing_keys"], *mismatched]
    head = {key for key in model.state_dict() if not key.startswith(f"{model.base_model_prefix}.")}
    encoder_keys = sorted(key for key in wrong if key not in head and "pooler" not in key)
    if encoder_keys:
        raise CheckpointError(
            f"model {source}: {len(encoder_keys)} weights of the encoder are missing or have another shape than "
            f"config.json says, such as {encoder_keys[0]}. The model is damaged: get it again."
        )
    return model, sorted(key for key in wrong if key in head)
