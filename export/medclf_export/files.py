"""The files of a bundle: a Hugging Face folder that other tools open unchanged, and the manifest beside it."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import medclf
from medclf.bundle import MANIFEST, FileRecord, Manifest, ModelRecord
from medclf.errors import CheckpointError
from medclf.train.checkpoint import Checkpoint, TrainingRecord

PACKAGES = ("torch", "transformers", "tokenizers", "onnx", "onnxruntime", "numpy")
TOKENS = ("unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


def describe(
    checkpoint: Checkpoint,
    record: TrainingRecord,
    models: Mapping[str, ModelRecord],
    golden: Mapping[str, list[list[float]]],
    refused: Mapping[str, str],
) -> Manifest:
    """Make the manifest, all but the hashes of the files.

    Args:
        checkpoint: Where the labels come from.
        record: How it was trained.
        models: Precision -> its record.
        golden: Precision -> logits of the golden texts.
        refused: Precision -> why it did not pass.

    Returns:
        The manifest; `write_bundle` adds `files`.
    """
    return Manifest(
        labels=checkpoint.labels,
        columns=record.columns,
        max_length=record.max_length,
        models=dict(models),
        files={},
        temperature=record.temperature,
        long_text=record.long_text,
        golden=dict(golden),
        refused=dict(refused),
        training=_provenance(record),
        versions={"medclf": medclf.__version__} | {name: found for name in PACKAGES if (found := _version(name))},
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )


def _provenance(record: TrainingRecord) -> dict[str, Any]:
    """What a bundle tells of its training: hashes and names, no path of the machine and no row."""
    splits = {
        name: {"file": Path(split.file).name, "sha256": split.sha256, "n_rows": split.n_rows}
        for name, split in record.splits.items()
    }
    base_model = Path(record.base_model).name if Path(record.base_model).is_absolute() else record.base_model
    return {
        "base_model": base_model,
        "data": splits,
        "metrics": record.metrics,
        "token_lengths": record.token_lengths,
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def tokenizer_files(folder: Path, tokenizer_json: str, max_length: int) -> dict[str, bytes]:
    """Give the tokenizer's files, so that every reader of the folder makes the same token ids.

    Args:
        folder: The checkpoint.
        tokenizer_json: Contents of its `tokenizer.json`.
        max_length: Most tokens of a text.

    Returns:
        Name -> contents.

    Raises:
        CheckpointError: A file beside `tokenizer.json` is damaged.
    """
    tokenizer = json.loads(tokenizer_json)
    tokenizer |= {"truncation": None, "padding": None}  # the reader's business, by model_max_length
    config = _read_json(folder / "tokenizer_config.json") | {
        "model_max_length": max_length,
        "split_special_tokens": True,  # as our encoder does: a literal "[SEP]" in a note is text
    }
    special = _read_json(folder / "special_tokens_map.json") or {key: config[key] for key in TOKENS if key in config}
    files = {
        "tokenizer.json": json.dumps(tokenizer, ensure_ascii=False),
        "tokenizer_config.json": json.dumps(config, indent=2, ensure_ascii=False),
        "special_tokens_map.json": json.dumps(special, indent=2, ensure_ascii=False),
        # text-embeddings-inference takes its limit from here, or else the model's positions
        "sentence_bert_config.json": json.dumps({"max_seq_length": max_length, "do_lower_case": False}, indent=2),
    }
    vocabulary = tokenizer["model"].get("vocab")
    if isinstance(vocabulary, dict):
        files["vocab.txt"] = "".join(f"{token}\n" for token in sorted(vocabulary, key=vocabulary.__getitem__))
    return {name: text.encode() for name, text in files.items()}


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        return dict(json.loads(path.read_bytes()))
    except (ValueError, TypeError) as error:
        raise CheckpointError(f"{path} is not a JSON object: mend or remove it.") from error


def write_bundle(folder: Path, manifest: Manifest, contents: Mapping[str, bytes]) -> Manifest:
    """Write every file but the models, which are there already, and then the manifest with the hashes of all.

    Args:
        folder: The folder, which holds the models.
        manifest: The manifest without `files`.
        contents: Path in the bundle -> contents.

    Returns:
        The manifest as written.
    """
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    models = [name for model in manifest.models.values() for name in model.files]
    whole = replace(manifest, files={name: FileRecord.of_file(folder / name) for name in (*models, *contents)})
    (folder / MANIFEST).write_text(whole.to_json(), encoding="utf-8")
    return whole
