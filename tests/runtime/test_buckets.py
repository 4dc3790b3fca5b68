import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medclf.errors import InputError, OptionError
from medclf.runtime.buckets import MAX_CELLS, SHORTEST, Bucket, Buckets
from medclf.runtime.schedule import MAX_BATCH_TOKENS, plan

MAX_LENGTH = st.integers(1, 9000)
CELLS = st.integers(1, 5000)


@st.composite
def batches(draw: st.DrawFn) -> tuple[Buckets, list[int]]:
    buckets = Buckets(draw(MAX_LENGTH), draw(CELLS))
    return buckets, draw(st.lists(st.integers(1, buckets.max_length), max_size=80))


@given(batches())
def test_each_text_is_in_one_part_and_fits_its_bucket(batch: tuple[Buckets, list[int]]) -> None:
    buckets, lengths = batch
    parts = buckets.split(lengths)
    assert sorted(i for texts, _ in parts for i in texts.tolist()) == list(range(len(lengths)))
    for texts, bucket in parts:
        assert bucket in buckets.all
        assert 1 <= len(texts) <= bucket.n_rows
        assert max(lengths[i] for i in texts) <= bucket.n_columns


@given(batches())
def test_the_waste_is_bounded(batch: tuple[Buckets, list[int]]) -> None:
    buckets, lengths = batch
    for texts, bucket in buckets.split(lengths):
        longest = max(lengths[i] for i in texts)
        assert bucket.n_rows < 2 * len(texts)
        assert bucket.n_columns < 1.5 * longest or bucket.n_columns <= SHORTEST
        assert bucket.n_rows == 1 or bucket.n_rows * bucket.n_columns <= buckets.max_cells


@given(batches())
def test_no_lesser_bucket_would_do_and_no_two_parts_would_fit_one(batch: tuple[Buckets, list[int]]) -> None:
    buckets, lengths = batch
    parts = buckets.split(lengths)
    for texts, bucket in parts:
        longest = max(lengths[i] for i in texts)
        fitting = [one for one in buckets.all if one.n_rows >= len(texts) and one.n_columns >= longest]
        assert bucket == min(fitting, key=lambda one: (one.n_columns, one.n_rows))
    for texts, bucket in parts[:-1]:
        assert len(texts) == max(one.n_rows for one in buckets.all if one.n_columns == bucket.n_columns)


@given(MAX_LENGTH, CELLS)
def test_the_buckets_are_few_and_different(max_length: int, max_cells: int) -> None:
    buckets = Buckets(max_length, max_cells)
    assert len(set(buckets.all)) == len(buckets.all)
    assert len(buckets.widths) <= 2 * max_length.bit_length()
    assert len(buckets.all) <= len(buckets.widths) * max_cells.bit_length()
    assert max(buckets.widths) == max_length
    assert list(buckets.widths) == sorted(set(buckets.widths))


@given(st.lists(st.integers(9, 512), max_size=200))
def test_a_batch_of_the_schedule_needs_few_runs(lengths: list[int]) -> None:
    for batch in plan(lengths):
        own = [lengths[i] for i in batch]
        cells = len(own) * max(own)
        assert len(Buckets(512).split(own)) <= 1 + 3 * cells // MAX_CELLS


def test_texts_of_one_length_that_make_a_batch_run_at_once() -> None:
    for length in range(8, 513):
        assert len(Buckets(512).split([length] * (MAX_BATCH_TOKENS // length))) == 1


@pytest.mark.parametrize(
    ("max_length", "widths", "n_buckets"),
    [
        (1, (1,), 11),
        (16, (16,), 7),
        (17, (16, 17), 13),
        (64, (16, 24, 32, 48, 64), 29),
        (512, (16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512), 47),
        (8192, (16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096, 6144, 8192), 55),
    ],
)
def test_the_buckets_of_a_model(max_length: int, widths: tuple[int, ...], n_buckets: int) -> None:
    buckets = Buckets(max_length)
    assert (buckets.widths, len(buckets.all)) == (widths, n_buckets)


def test_a_split_by_hand() -> None:
    parts = Buckets(64, max_cells=128).split([3, 64, 20, 1, 16, 2, 50])
    assert [(texts.tolist(), bucket) for texts, bucket in parts] == [
        ([1, 6], Bucket(2, 64)),
        ([2, 4, 0, 5], Bucket(4, 24)),
        ([3], Bucket(1, 16)),
    ]


def test_no_texts() -> None:
    assert Buckets(64).split([]) == []
    assert Buckets(64).split(np.empty(0, dtype=np.int64)) == []


def test_a_text_that_no_bucket_holds() -> None:
    with pytest.raises(InputError, match="a text has 65 tokens, expected at most 64, the widest bucket"):
        Buckets(64).split([3, 65])


@pytest.mark.parametrize(
    ("options", "message"),
    [((0,), "max_length is 0, expected at least 1"), ((64, 0), "max_cells is 0, expected at least 1")],
)
def test_buckets_of_nothing(options: tuple[int, ...], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Buckets(*options)
