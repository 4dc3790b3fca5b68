"""What an ONNX file of ours carries in its `metadata_props`, so that one file is enough for libmedclf.

`docs/bundle.md` lists the keys, `native/src/metadata.cpp` reads them. A tokenizer that is not
BERT's WordPiece cannot be mirrored in C++; its model is exported without the tokenizer's keys.
"""

import json
import logging
from collections.abc import Mapping
from typing import Any

from medclf.bundle import SCHEMA_VERSION
from medclf.labels import Labels
from medclf.long_text import LongText

log = logging.getLogger(__name__)


def metadata(labels: Labels, *, max_length: int, long_text: LongText, tokenizer_json: str) -> dict[str, str]:
    """Give the `metadata_props` of a model.

    Args:
        labels: The label contract.
        max_length: Most tokens of one row of the model.
        long_text: What becomes of a text that has more.
        tokenizer_json: Contents of `tokenizer.json`.

    Returns:
        Key -> value; lists and numbers as JSON.
    """
    props = {
        "medclf.schema_version": str(SCHEMA_VERSION),
        "medclf.task": labels.task,
        "medclf.labels": json.dumps(list(labels.names), ensure_ascii=False),
        "medclf.thresholds": json.dumps(labels.thresholds),
        "medclf.abstain_below": json.dumps(labels.abstain_below),
        "medclf.max_length": str(max_length),
        "medclf.long_text": str(long_text),
    }
    tokenizer = json.loads(tokenizer_json)
    fault = wordpiece_fault(tokenizer)
    if fault:
        log.warning("The ONNX files carry no vocabulary, and libmedclf will not open them: %s.", fault)
        return props
    return props | _wordpiece(tokenizer)


def wordpiece_fault(tokenizer: Mapping[str, Any]) -> str | None:
    """Say why a tokenizer is not BERT's WordPiece.

    Args:
        tokenizer: The parsed `tokenizer.json`.

    Returns:
        The reason, or None for BERT's.
    """
    wanted = {"model": "WordPiece", "normalizer": "BertNormalizer", "pre_tokenizer": "BertPreTokenizer"}
    for part, kind in wanted.items():
        found = (tokenizer.get(part) or {}).get("type")
        if found != kind:
            return f"the {part} of its tokenizer is {found}, expected {kind}"
    plain = [token["content"] for token in tokenizer.get("added_tokens", []) if not token.get("special")]
    if plain:
        return f"its tokenizer has {len(plain)} added token(s) that are not special"
    return None


def _wordpiece(tokenizer: Mapping[str, Any]) -> dict[str, str]:
    model, normalizer = tokenizer["model"], tokenizer["normalizer"]
    vocabulary: dict[str, int] = dict(model["vocab"])
    vocabulary |= {token["content"]: token["id"] for token in tokenizer.get("added_tokens", [])}
    by_id = {index: token for token, index in vocabulary.items()}
    tokens = [by_id.get(index, "") for index in range(max(by_id) + 1)]
    flags = ("clean_text", "handle_chinese_chars", "strip_accents", "lowercase")
    return {
        "medclf.vocabulary": "\n".join(tokens),
        "medclf.normalizer": json.dumps({flag: normalizer.get(flag) for flag in flags}),
        "medclf.wordpiece": json.dumps(
            {key: model[key] for key in ("unk_token", "continuing_subword_prefix", "max_input_chars_per_word")}
        ),
    }
