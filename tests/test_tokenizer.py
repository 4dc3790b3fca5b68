"""Special tokens and truncation as `tokenizers` itself does them, for BERT's template and RoBERTa's."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from medclf.errors import InputError
from medclf.tokenizer import TextEncoder

WORDS = [f"w{i}" for i in range(20)]
BERT = processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))
ROBERTA = processors.RobertaProcessing(("</s>", 2), ("<s>", 1))
TEXT = st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join)


def tokenizer(template: object, special: tuple[str, str, str]) -> Tokenizer:
    ids = {token: index for index, token in enumerate([*special, "[UNK]", *WORDS])}
    made = Tokenizer(models.WordLevel(ids, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = template
    made.add_special_tokens(list(special))
    return made


KINDS = [tokenizer(BERT, ("[PAD]", "[CLS]", "[SEP]")), tokenizer(ROBERTA, ("<pad>", "<s>", "</s>"))]


@settings(deadline=None, max_examples=60)
@given(a=TEXT, b=TEXT, max_length=st.integers(4, 30), kind=st.sampled_from([0, 1]))
def test_pairs_and_single_texts_are_those_of_tokenizers(a: str, b: str, max_length: int, kind: int) -> None:
    encoder = TextEncoder(KINDS[kind].to_str(), max_length=max_length)
    theirs = Tokenizer.from_str(KINDS[kind].to_str())
    theirs.enable_truncation(max_length, strategy="longest_first")
    single, pair = theirs.encode(a), theirs.encode(a, b)
    ours = encoder.encode([a])[0]
    assert ours.input_ids.tolist() == single.ids
    ours = encoder.encode([a], [b])[0]
    assert (ours.input_ids.tolist(), ours.token_type_ids.tolist()) == (pair.ids, pair.type_ids)
    assert ours.truncated == bool(pair.overflowing)


def test_padding_is_the_tokenizers_own_token() -> None:
    ids = {"<s>": 0, "<pad>": 1, "</s>": 2, "[UNK]": 3}
    made = Tokenizer(models.WordLevel(ids, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    encoder = TextEncoder(made.to_str(), max_length=8)
    assert encoder.pad(encoder.encode(["a b", "a"])).input_ids.tolist() == [[0, 3, 3, 2], [0, 3, 2, 1]]


@pytest.mark.parametrize("template", [None, "<s> $A", "$A </s>"])
def test_another_template_is_refused(template: str | None) -> None:
    made = json.loads(KINDS[1].to_str())
    tokens = [("<s>", 1), ("</s>", 2)]
    processor = template and processors.TemplateProcessing(template, f"{template} $B", special_tokens=tokens)
    made["post_processor"] = json.loads(processor.__getstate__()) if processor else None
    with pytest.raises(InputError, match="does not add special tokens as BERT"):
        TextEncoder(json.dumps(made), max_length=8)
