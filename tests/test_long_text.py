"""What the model sees of a long text: which tokens, in which order, and how many are left out."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medclf.errors import OptionError
from medclf.long_text import TRUNCATE, LongText

ROOM = st.integers(6, 60)


@st.composite
def windows(draw: st.DrawFn) -> tuple[LongText, int, int]:
    """A policy, the room of a window, and the length of a text."""
    room = draw(ROOM)
    policy = LongText.of(
        "windows",
        max_length=room + 2,
        stride=draw(st.none() | st.integers(1, room)),
        max_windows=draw(st.none() | st.integers(1, 9)),
    )
    return policy, room, draw(st.integers(0, 400))


@settings(deadline=None)
@given(windows())
def test_windows_hold_every_token_in_order_up_to_their_number(case: tuple[LongText, int, int]) -> None:
    policy, room, n_tokens = case
    rows = policy.cut(list(range(n_tokens)), room)
    assert 1 <= len(rows) <= policy.max_windows
    for i, row in enumerate(rows):  # each begins where the stride says, has no gap, and all but the last are full
        assert list(row) == list(range(i * policy.stride, i * policy.stride + len(row)))
        assert len(row) == room or i == len(rows) - 1
    seen = policy.n_seen(n_tokens, room)
    assert {token for row in rows for token in row} == set(range(seen))
    assert seen == n_tokens or len(rows) == policy.max_windows  # nothing is cut off while a window is left
    if len(rows) > 1:
        assert rows[-1][-1] > rows[-2][-1]  # no window without a new token


@settings(deadline=None)
@given(ROOM, st.integers(0, 400))
def test_head_tail_keeps_both_ends(room: int, n_tokens: int) -> None:
    policy, tokens = LongText.of("head_tail", max_length=room + 2), list(range(n_tokens))
    (row,) = policy.cut(tokens, room)
    assert policy.n_seen(n_tokens, room) == len(row) == min(room, n_tokens)
    assert policy.head + policy.tail == room
    if n_tokens <= room:
        assert row == tokens
    else:
        assert row == tokens[: policy.head] + tokens[n_tokens - policy.tail :]


@settings(deadline=None)
@given(ROOM, st.integers(0, 400))
def test_truncate_keeps_the_beginning(room: int, n_tokens: int) -> None:
    tokens = list(range(n_tokens))
    assert TRUNCATE.cut(tokens, room) == [tokens[:room]]
    assert TRUNCATE.n_seen(n_tokens, room) == min(room, n_tokens)


def test_defaults_are_those_of_the_documents() -> None:
    assert str(LongText.of("head_tail", max_length=512)) == "head_tail:head=128,tail=382"  # Sun et al. 2019
    assert str(LongText.of("head_tail", max_length=256)) == "head_tail:head=63,tail=191"
    assert str(LongText.of("windows", max_length=256)) == "windows:stride=190,pooling=mean,max_windows=16"
    assert str(LongText.of("truncate", max_length=256)) == "truncate"


@settings(deadline=None)
@given(windows(), st.sampled_from(["mean", "max", "noisy-or"]))
def test_the_written_form_is_read_back(case: tuple[LongText, int, int], pooling: str) -> None:
    made = LongText.of("windows", max_length=case[1] + 2, stride=case[0].stride, pooling=pooling)
    for policy in (TRUNCATE, LongText.of("head_tail", max_length=case[1] + 2), made):
        assert LongText.parse(str(policy)) == policy


@pytest.mark.parametrize(
    "text",
    [
        "guess", "", None, 7, ["truncate"], "Truncate", "truncate ", "head_tail", "windows", "truncate:",
        "head_tail:head=63", "head_tail:tail=191,head=63", "head_tail:head=0,tail=254", "head_tail:head=063,tail=191",
        "windows:stride=1", "windows:stride=190,pooling=median,max_windows=16",
        "windows:stride=190, pooling=mean, max_windows=16", "windows:stride=-1,pooling=mean,max_windows=16",
        "windows:stride=190,pooling=mean,max_windows=16\n", "windows:stride=190,pooling=mean,max_windows=16,more=1",
        "windows:stride=99999999,pooling=mean,max_windows=16", "windows:stride=١,pooling=mean,max_windows=16",
    ],
)  # fmt: skip
def test_what_is_not_known_is_refused(text: object) -> None:
    with pytest.raises(OptionError, match="which this medclf does not know"):
        LongText.parse(text)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"policy": "summary"}, "long_text is 'summary', expected one of truncate, head_tail, windows"),
        ({"policy": "truncate", "stride": 5}, "stride given, but long_text is 'truncate'"),
        ({"policy": "head_tail", "pooling": "max", "max_windows": 3}, "pooling, max_windows given, but long_text is"),
        ({"policy": "windows", "stride": 0}, "stride is 0, expected 1 to 30"),
        ({"policy": "windows", "stride": 31}, "stride is 31, expected 1 to 30: a window has room for 30 tokens"),
        ({"policy": "windows", "pooling": "median"}, "pooling is 'median', expected one of mean, max, noisy-or"),
        ({"policy": "windows", "max_windows": 0}, "max_windows is 0, expected 1 to 1,000"),
        ({"policy": "windows", "max_windows": 1001}, "max_windows is 1001, expected"),
        ({"policy": "head_tail", "max_length": 5}, "long_text keeps 0 and 3 tokens"),
    ],
)
def test_a_value_out_of_range_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        LongText.of(**{"max_length": 32, **options})  # type: ignore[arg-type]


def test_a_policy_must_fit_what_it_is_used_with() -> None:
    with pytest.raises(OptionError, match="long_text keeps 63 and 191 tokens, but max_length 128 has room for 126"):
        LongText.of("head_tail", max_length=256).check(128)
    with pytest.raises(OptionError, match="stride is 190, expected 1 to 126"):
        LongText.of("windows", max_length=256).check(128)
    noisy = LongText.of("windows", max_length=256, pooling="noisy-or")
    assert noisy.check(256, multi_label=True) is noisy
    with pytest.raises(OptionError, match="pooling is 'noisy-or', but a text has one label"):
        noisy.check(256, multi_label=False)
    with pytest.raises(OptionError, match="the texts are pairs: expected 'truncate'"):
        LongText.of("head_tail", max_length=256).check(256, pairs=True)
