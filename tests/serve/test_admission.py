"""What is let in."""

from contextlib import nullcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medclf.errors import RequestError
from medclf.serve.admission import Door, Limits, Speed, check_size

LIMITS = Limits(max_queue_tokens=1_000, max_body_bytes=100, max_held_bytes=500)
SPEED = Speed(1, tokens_per_s=100.0)


def status(error: pytest.ExceptionInfo[RequestError]) -> tuple[int, float | None]:
    return error.value.status, error.value.retry_after_s


def test_a_body_may_be_as_large_as_the_limit() -> None:
    check_size(LIMITS, 100)
    with pytest.raises(RequestError, match="at most 100") as error:
        check_size(LIMITS, 101)
    assert status(error) == (413, None)


@pytest.mark.parametrize(("queued", "held"), [(1_000, 0), (0, 500)])
def test_a_full_server_reads_nothing(queued: int, held: int) -> None:
    with pytest.raises(RequestError, match="is full") as error:
        Door(LIMITS).check(queued_tokens=queued, held_bytes=held, speed=SPEED)
    assert status(error) == (429, 2.5)


def test_a_full_server_reads_again_when_there_is_room_for_several() -> None:
    door = Door(LIMITS)
    door.check(queued_tokens=990, held_bytes=0, speed=SPEED)
    with pytest.raises(RequestError, match="is full"):
        door.check_tokens(n_tokens=20, queued_tokens=990, speed=SPEED)
    for queued in (990, 940):
        with pytest.raises(RequestError, match="is full"):
            door.check(queued_tokens=queued, held_bytes=0, speed=SPEED)
    for queued in (937, 990):
        door.check(queued_tokens=queued, held_bytes=0, speed=SPEED)


def test_a_large_request_without_room_keeps_no_small_one_out() -> None:
    door = Door(LIMITS)
    with pytest.raises(RequestError, match="is full"):
        door.check_tokens(n_tokens=900, queued_tokens=500, speed=SPEED)
    door.check(queued_tokens=500, held_bytes=0, speed=SPEED)


@given(st.integers(1, 1_000), st.integers(0, 2_000))
def test_a_request_is_taken_whole_if_it_fits(n_tokens: int, queued: int) -> None:
    if queued + n_tokens <= 1_000:
        Door(LIMITS).check_tokens(n_tokens=n_tokens, queued_tokens=queued, speed=SPEED)
        return
    with pytest.raises(RequestError, match="is full") as error:
        Door(LIMITS).check_tokens(n_tokens=n_tokens, queued_tokens=queued, speed=SPEED)
    assert status(error) == (429, (queued + n_tokens - 1_000) / 100)


def test_a_request_that_never_fits_is_not_told_to_try_again() -> None:
    with pytest.raises(RequestError, match="at most 1,000") as error:
        Door(LIMITS).check_tokens(n_tokens=1_001, queued_tokens=0, speed=SPEED)
    assert status(error) == (413, None)


def test_a_deadline_that_cannot_be_met_is_refused_at_once() -> None:
    Door(LIMITS).check_tokens(n_tokens=10, queued_tokens=500, speed=SPEED, seconds_left=5.0)
    with pytest.raises(RequestError, match=r"about 5\.0 s of work") as error:
        Door(LIMITS).check_tokens(n_tokens=10, queued_tokens=500, speed=SPEED, seconds_left=4.0)
    assert status(error) == (503, 1.0)


def test_the_speed_is_learned() -> None:
    speed = Speed(2, tokens_per_s=10.0)
    for _ in range(400):
        speed.ran(500, 0.1)
    assert speed.tokens_per_s == pytest.approx(10_000, rel=0.01)
    speed.ran(0, 0.0)  # nothing breaks it
    assert speed.tokens_per_s > 0


def test_what_is_being_tokenized_counts_with_the_tokens_that_it_should_have() -> None:
    door = Door(LIMITS, chars_per_token=5.0)
    with door.arriving(600), pytest.raises(RequestError, match="is full"):
        door.check(queued_tokens=880, held_bytes=0, speed=SPEED)
    door.check(queued_tokens=880, held_bytes=0, speed=SPEED)
    for _ in range(200):
        door.arrived(30_000, 512)  # most of it is cut off
    with door.arriving(600):
        door.check(queued_tokens=980, held_bytes=0, speed=SPEED)


@pytest.mark.parametrize(("queued", "n_behind", "refused"), [(250, 8, True), (249, 99, False), (999, 7, False)])
def test_who_comes_in_a_crowd_is_refused_if_there_is_enough_to_do(queued: int, n_behind: int, refused: bool) -> None:
    door = Door(LIMITS)
    with pytest.raises(RequestError, match="is full") if refused else nullcontext():
        door.check(queued_tokens=queued, held_bytes=0, speed=SPEED, n_behind=n_behind)
    door.check(queued_tokens=queued, held_bytes=0, speed=SPEED)  # and the door stays open
