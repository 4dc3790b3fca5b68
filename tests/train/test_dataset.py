"""Which texts make a batch, and how a batch is padded."""

from pathlib import Path

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from medclf.tokenizer import TextEncoder
from medclf.train.dataset import Collate, EncodedTexts, LengthGroupedBatches, length_grouped


@given(
    lengths=st.lists(st.integers(1, 512), min_size=1, max_size=400),
    batch_size=st.integers(1, 33),
    seed=st.integers(0, 5),
    epoch=st.integers(0, 3),
)
def test_every_text_once_and_only_the_last_batch_short(
    lengths: list[int], batch_size: int, seed: int, epoch: int
) -> None:
    batches = length_grouped(np.array(lengths), batch_size, seed=seed, epoch=epoch)
    assert sorted(np.concatenate(batches)) == list(range(len(lengths)))
    assert all(len(batch) == batch_size for batch in batches[:-1])
    assert len(batches) == len(LengthGroupedBatches(np.array(lengths), batch_size, seed=seed))


def test_batches_are_a_function_of_seed_and_epoch() -> None:
    lengths = np.random.default_rng(0).integers(5, 500, 1_000)

    def flat(seed: int, epoch: int) -> list[int]:
        return np.concatenate(length_grouped(lengths, 16, seed=seed, epoch=epoch)).tolist()

    assert flat(1, 0) == flat(1, 0)
    assert flat(1, 0) != flat(1, 1)
    assert flat(1, 0) != flat(2, 0)


def test_batches_have_little_padding_and_begin_with_the_longest() -> None:
    lengths = np.random.default_rng(0).integers(5, 500, 4_000)
    batches = length_grouped(lengths, 16, seed=0, epoch=0)
    padded = sum(lengths[batch].max() * len(batch) for batch in batches)
    assert padded / lengths.sum() < 1.05  # in a random order: about 1.9
    assert lengths[batches[0]].max() == lengths.max()
    longest = [lengths[batch].max() for batch in batches]
    assert longest[1:] != sorted(longest[1:], reverse=True)  # short and long ones are mixed over the epoch


def test_batches_follow_the_epoch_that_is_set() -> None:
    lengths = np.arange(1, 101)
    batches = LengthGroupedBatches(lengths, 8, seed=0)
    first = list(batches)
    batches.set_epoch(1)
    assert list(batches) != first
    batches.set_epoch(0)
    assert list(batches) == first


def test_collate_pads_to_the_longest_text_of_the_batch(tiny_encoder: Path) -> None:
    encoder = TextEncoder((tiny_encoder / "tokenizer.json").read_text(), max_length=64)
    dataset = EncodedTexts(encoder.encode(["ba", "ce di fo gu", "ka le"]), np.array([2, 0, 1]))
    batch = Collate(encoder)([dataset[i] for i in range(3)])
    assert batch["input_ids"].shape == (3, int(dataset.lengths.max())) == batch["token_type_ids"].shape
    assert batch["attention_mask"].sum(dim=1).tolist() == dataset.lengths.tolist()
    assert batch["labels"].tolist() == [2, 0, 1]
    assert batch["labels"].dtype == torch.int64
    ordered = dataset.by_length()
    assert [len(ordered[i].encoded) for i in range(3)] == sorted(dataset.lengths, reverse=True)
    assert [ordered[i].target for i in range(3)] == [0, 1, 2]
