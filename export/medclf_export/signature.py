"""What a caller may feed a model and what it gets back: the same for every way of making a graph."""

from dataclasses import dataclass

INPUTS = ("input_ids", "attention_mask", "token_type_ids")


@dataclass(frozen=True)
class Signature:
    """The inputs of a model, int64 [batch, sequence] each, and its output `logits`, float32 [batch, n_labels].

    Attributes:
        inputs: Their names: `INPUTS`, or without `token_type_ids` where the architecture has none.
        n_labels: Columns of the logits.
        vocabulary_size: Ids go from 0 to this, exclusive.
        n_positions: Most tokens of a text.
        n_types: Token types go from 0 to this, exclusive.
    """

    inputs: tuple[str, ...]
    n_labels: int
    vocabulary_size: int
    n_positions: int
    n_types: int
