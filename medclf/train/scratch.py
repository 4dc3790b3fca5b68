"""A small BERT without pretrained weights, for a machine that has none: `--model scratch`."""

from collections import Counter
from collections.abc import Sequence

import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import BertConfig

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
VOCABULARY = 8_000


def scratch_tokenizer(texts: Sequence[str]) -> str:
    """Train a lower-case WordPiece tokenizer as BERT's; the same texts give the same one.

    Args:
        texts: The training texts.

    Returns:
        Contents of a `tokenizer.json`.
    """
    learner = _bert_tokenizer(models.WordPiece(unk_token="[UNK]"))
    letters = _letters(learner, texts)
    # Letters would get their ids in the random order of a hash map, and ids break ties between merges. As "special"
    # tokens they have the order given; they are special in the learner alone.
    trainer = trainers.WordPieceTrainer(
        vocab_size=VOCABULARY,
        min_frequency=2,
        special_tokens=[*SPECIAL_TOKENS, *letters],
        limit_alphabet=len(letters),
        show_progress=False,
    )
    learner.train_from_iterator(texts, trainer)
    tokenizer = _bert_tokenizer(models.WordPiece(learner.get_vocab(), unk_token="[UNK]"))
    ids = {token: index for index, token in enumerate(SPECIAL_TOKENS)}
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", ids["[SEP]"]), ("[CLS]", ids["[CLS]"]))
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    return str(tokenizer.to_str())


def _bert_tokenizer(model: models.Model) -> tokenizers.Tokenizer:
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    return tokenizer


def _letters(tokenizer: tokenizers.Tokenizer, texts: Sequence[str]) -> list[str]:
    """Give the letters that begin words, and those that go on with one (`##x`), the frequent ones first."""
    words: Counter[str] = Counter()
    for text in texts:
        normal = tokenizer.normalizer.normalize_str(text)
        words.update(word for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(normal))
    counts: Counter[str] = Counter()
    for word, n in words.items():
        counts[word[0]] += n
        for letter in word[1:]:
            counts[f"##{letter}"] += n
    return sorted(counts, key=lambda letter: (-counts[letter], letter))


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
