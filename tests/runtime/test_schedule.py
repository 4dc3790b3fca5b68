import itertools
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medclf.errors import OptionError
from medclf.runtime.schedule import plan

LENGTHS = st.lists(st.integers(1, 300), max_size=80)
BUDGET = st.integers(1, 600)


@given(LENGTHS, BUDGET)
def test_each_text_is_in_one_batch(lengths: list[int], budget: int) -> None:
    batches = plan(lengths, max_batch_tokens=budget)
    assert sorted(i for batch in batches for i in batch.tolist()) == list(range(len(lengths)))
    assert all(len(batch) for batch in batches)


@given(LENGTHS, BUDGET)
def test_each_batch_keeps_the_budget_or_is_one_text(lengths: list[int], budget: int) -> None:
    for batch in plan(lengths, max_batch_tokens=budget):
        assert len(batch) == 1 or sum(lengths[i] for i in batch) <= budget


@given(LENGTHS, BUDGET)
def test_longest_first_and_no_two_neighbours_would_fit_together(lengths: list[int], budget: int) -> None:
    batches = plan(lengths, max_batch_tokens=budget)
    assert [lengths[i] for batch in batches for i in batch] == sorted(lengths, reverse=True)
    for before, after in itertools.pairwise(batches):
        assert sum(lengths[i] for i in before) + lengths[after[0]] > budget


@given(LENGTHS, BUDGET, st.integers(0, 9))
def test_the_order_of_the_input_does_not_matter(lengths: list[int], budget: int, seed: int) -> None:
    def shapes(lengths: list[int]) -> list[list[int]]:
        return [[lengths[i] for i in batch] for batch in plan(lengths, max_batch_tokens=budget)]

    assert shapes(lengths) == shapes(random.Random(seed).sample(lengths, len(lengths)))


def test_a_plan_by_hand() -> None:
    batches = plan([10, 700, 200, 300, 10], max_batch_tokens=512)
    assert [batch.tolist() for batch in batches] == [[1], [3, 2, 0], [4]]


def test_equal_lengths_keep_their_order() -> None:
    assert np.concatenate(plan([5] * 9, max_batch_tokens=10)).tolist() == list(range(9))


def test_no_texts() -> None:
    assert plan([]) == []


def test_a_budget_of_nothing() -> None:
    with pytest.raises(OptionError, match="max_batch_tokens is 0, expected at least 1"):
        plan([1], max_batch_tokens=0)
