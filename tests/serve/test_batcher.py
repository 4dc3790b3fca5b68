"""The batcher's decisions, for any texts that wait in any order of coming, leaving and running."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from medclf.serve.batcher import MAX_PADDING, MIN_SHARE_TOKENS, SHARE, Queue, Waiting, due_times

BUDGET = 128

lengths = st.lists(st.integers(2, 200), min_size=1, max_size=40)


def waiting(n_tokens: int, due_s: float, model: str = "a") -> Waiting:
    return Waiting(model, n_tokens, due_s)


def drain(queue: Queue, *, n_idle: int = 1) -> list[list[Waiting]]:
    batches = []
    while batch := queue.take(n_idle=n_idle):
        batches.append(batch)
    return batches


def test_nothing_waits_nothing_runs() -> None:
    assert Queue().take() == []


def test_a_text_alone_runs_at_once() -> None:
    queue = Queue(max_batch_tokens=BUDGET)
    queue.add([waiting(500, 1.0)])
    (batch,) = drain(queue)
    assert [text.n_tokens for text in batch] == [500]


@given(lengths, st.integers(1, 4))
def test_every_text_runs_once_in_bounded_batches(n_tokens: list[int], n_idle: int) -> None:
    queue = Queue(max_batch_tokens=BUDGET)
    texts = [waiting(n, float(i)) for i, n in enumerate(n_tokens)]
    queue.add(texts)
    batches = drain(queue, n_idle=n_idle)
    assert sorted(map(id, texts)) == sorted(id(text) for batch in batches for text in batch)
    for batch in batches:
        real = sum(text.n_tokens for text in batch)
        assert len(batch) == 1 or real <= BUDGET
        assert max(text.n_tokens for text in batch) * len(batch) <= MAX_PADDING * real
    assert queue.n_tokens == queue.n_texts == 0


@given(lengths)
def test_the_text_that_is_due_first_leads(n_tokens: list[int]) -> None:
    queue = Queue(max_batch_tokens=BUDGET)
    left = {waiting(n, math.sin(i)) for i, n in enumerate(n_tokens)}
    queue.add(left)
    while batch := queue.take():
        assert batch[0].due_s == min(text.due_s for text in left)
        left -= set(batch)


@given(lengths, st.integers(2, 4))
def test_a_caller_leaves_the_others_their_share(n_tokens: list[int], n_idle: int) -> None:
    queue = Queue(max_batch_tokens=10_000)
    queue.add([waiting(n, float(i)) for i, n in enumerate(n_tokens)])
    batch = queue.take(n_idle=n_idle)
    assert len(batch) == 1 or sum(text.n_tokens for text in batch) <= max(
        MIN_SHARE_TOKENS, math.ceil(sum(n_tokens) / n_idle)
    )


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(2, 60)), max_size=40))
def test_models_are_never_mixed(given_texts: list[tuple[str, int]]) -> None:
    queue = Queue(max_batch_tokens=BUDGET)
    queue.add([waiting(n, float(i), model) for i, (model, n) in enumerate(given_texts)])
    assert all(len({text.model for text in batch}) == 1 for batch in drain(queue))


@given(lengths, st.floats(0, 1e6), st.floats(1, 1e6))
def test_due_times_grow_from_the_arrival_on(n_tokens: list[int], arrived_s: float, tokens_per_s: float) -> None:
    due = due_times(arrived_s, n_tokens, tokens_per_s=tokens_per_s)
    assert due == sorted(due)
    assert due[0] >= arrived_s
    assert due[-1] == pytest.approx(arrived_s + sum(n_tokens) / (SHARE * tokens_per_s))


@settings(max_examples=30)
@given(st.integers(2, 8), st.integers(16, 400))
def test_a_late_short_request_passes_a_large_one_and_starves_it_not(n_per_s: int, n_tokens: int) -> None:
    """A request of 60 long texts, then single short ones for ever: both go on, neither waits for all of the other."""
    speed = 1_000.0
    queue = Queue(max_batch_tokens=512)
    large = [waiting(n_tokens, due) for due in due_times(0.0, [n_tokens] * 60, tokens_per_s=speed)]
    queue.add(large)
    now, arrived, waits, left = 0.0, 0.0, [], set(large)
    while left:
        while arrived <= now:
            queue.add([Waiting("a", 16, due_times(arrived, [16], tokens_per_s=speed)[0], arrived)])
            arrived += 1 / n_per_s
        batch = queue.take()
        waits += [now - text.payload for text in batch if text.payload is not None]
        left -= set(batch)
        now += sum(text.n_tokens for text in batch) / speed
    work_s = 60 * n_tokens / speed
    share = n_per_s * 16 / speed  # of the server that the short ones take
    assert now <= work_s / (1 - share) + 2.0
    if waits:  # two batches at the most: the one that runs, and the one of whom was due before
        assert max(waits) <= 2 * max(n_tokens, 512) / speed + 0.1


class Any(RuleBasedStateMachine):
    """Texts come, go and run in any order; the counts stay right and nobody is lost or run twice."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = Queue(max_batch_tokens=BUDGET)
        self.inside: list[Waiting] = []
        self.gone: list[Waiting] = []

    def leaves(self, texts: list[Waiting]) -> None:
        assert all(text in self.inside for text in texts)
        self.inside = [text for text in self.inside if text not in texts]
        self.gone += texts

    @rule(n_tokens=lengths, due_s=st.floats(0, 100), model=st.sampled_from("ab"))
    def come(self, n_tokens: list[int], due_s: float, model: str) -> None:
        texts = [waiting(n, due_s + i, model) for i, n in enumerate(n_tokens)]
        self.queue.add(texts)
        self.inside += texts

    @rule(every=st.integers(1, 5))
    def leave(self, every: int) -> None:
        chosen = self.inside[::every]
        assert self.queue.discard([*chosen, *self.gone[:2]]) == len(chosen)
        self.leaves(chosen)

    @rule(n_idle=st.integers(1, 3))
    def run(self, n_idle: int) -> None:
        batch = self.queue.take(n_idle=n_idle)
        assert bool(batch) == bool(self.inside)
        self.leaves(batch)

    @invariant()
    def counts(self) -> None:
        assert self.queue.n_texts == len(self.inside)
        assert self.queue.n_tokens == sum(text.n_tokens for text in self.inside)


Any.TestCase.settings = settings(max_examples=20, stateful_step_count=20, deadline=None)
TestAny = Any.TestCase
