"""What is asked of every path: texts in batches, and how many callers send them at a time."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from medclf.bench.texts import TextBatch, batches_of, synthetic_texts, texts_of_length
from medclf.bundle import Manifest
from medclf.data.unlabelled import read_texts

SEED = 0
CALLS_OF_A_TURN = 4  # by each of several callers: a turn that ends with all of them busy says little


@dataclass(frozen=True)
class Workload:
    """Work that every path does in turn.

    Attributes:
        batch: Texts of a call.
        length: Tokens of every text; None for the lengths of the source.
        concurrency: Callers that send one batch after the other, all at a time.
        batches: What they send.
        calls_of_a_turn: Batches that each of several callers sends before the next path has its turn.
    """

    batch: int
    length: int | None
    concurrency: int
    batches: tuple[TextBatch, ...]
    calls_of_a_turn: int = CALLS_OF_A_TURN

    @property
    def turns(self) -> list[Sequence[TextBatch]]:
        """What a path does before the next path has its turn: one batch, or some of each caller's."""
        size = 1 if self.concurrency == 1 else self.concurrency * self.calls_of_a_turn
        return [self.batches[start : start + size] for start in range(0, len(self.batches), size)]


@dataclass(frozen=True)
class Source:
    """Where the texts come from.

    Attributes:
        manifest: Of the bundle: the columns of the text, and the lengths to imitate.
        tokenizer_json: Contents of its `tokenizer.json`, for words that are one token each.
        data: A table; None for random words.
    """

    manifest: Manifest
    tokenizer_json: str
    data: Path | None = None

    @property
    def name(self) -> str:
        """What the report calls it."""
        return f"random words, seed {SEED}" if self.data is None else str(self.data)

    def batches(self, batch: int, n_batches: int, length: int | None) -> tuple[TextBatch, ...]:
        """Make or read the texts.

        Args:
            batch: Texts of a batch.
            n_batches: How many; fewer where the table is shorter.
            length: Tokens of every text, of random words then; None for the lengths of the source.

        Returns:
            The batches.

        Raises:
            DataError: The table cannot be read.
            OptionError: The vocabulary has no whole words.
        """
        n_texts = batch * n_batches
        if length is not None:
            return tuple(batches_of(texts_of_length(self.tokenizer_json, n_texts, length, seed=SEED), None, batch))
        if self.data is None:
            return tuple(
                batches_of(synthetic_texts(self.tokenizer_json, self.manifest, n_texts, seed=SEED), None, batch)
            )
        return tuple(batches_of(*read_texts(self.data, self.manifest.columns, n_texts), batch))
