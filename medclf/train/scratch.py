"""A small BERT without pretrained weights, for a machine that has none: `--model scratch`."""

from collections.abc import Sequence

import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import BertConfig

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
VOCABULARY = 8_000
ALPHABET = 5_000  # letters that get an entry of their own; Chinese needs thousands


def scratch_tokenizer(texts: Sequence[str]) -> str:
    """Train a lower-case WordPiece tokenizer as BERT's.

    Args:
        texts: The training texts.

    Returns:
        Contents of a `tokenizer.json`.
    """
    tokenizer = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(
        vocab_size=VOCABULARY,
        min_frequency=2,
        limit_alphabet=ALPHABET,
        special_tokens=list(SPECIAL_TOKENS),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    ids = {token: index for index, token in enumerate(SPECIAL_TOKENS)}  # the trainer puts them first, in order
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", ids["[SEP]"]), ("[CLS]", ids["[CLS]"]))
    return str(tokenizer.to_str())


def scratch_config(*, vocab_size: int, max_length: int) -> BertConfig:
    """Describe the encoder: 4 layers, 256 wide.

    Args:
        vocab_size: Entries of the tokenizer.
        max_length: Most tokens of a text.

    Returns:
        A configuration without labels.
    """
    return BertConfig(
        vocab_size=vocab_size,
        hidden_size=256,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=1024,
        max_position_embeddings=max(512, max_length),
    )
