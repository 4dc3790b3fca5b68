import threading
from collections.abc import Iterator

import pytest

from medclf.runtime import windows as module
from medclf.runtime.windows import one_ahead, windows


def test_windows_by_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WINDOW_TEXTS", 3)
    assert list(windows(range(7), lambda _: 1)) == [[0, 1, 2], [3, 4, 5], [6]]


def test_windows_by_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WINDOW_CHARACTERS", 10)
    assert list(windows(["a" * 4, "b" * 6, "c" * 99, "d"], len)) == [["a" * 4, "b" * 6], ["c" * 99], ["d"]]


def test_no_items() -> None:
    assert list(windows([], len)) == []
    assert list(one_ahead([])) == []


def test_the_stream_is_read_one_item_ahead_and_no_further() -> None:
    made: list[int] = []
    second = threading.Event()

    def stream() -> Iterator[int]:
        for i in range(5):
            made.append(i)
            if i == 1:
                second.set()
            yield i

    ahead = one_ahead(stream())
    assert next(ahead) == 0
    assert second.wait(10)  # item 1 is made while the caller holds item 0
    assert made == [0, 1]
    assert list(ahead) == [1, 2, 3, 4]


def test_an_error_comes_in_its_place() -> None:
    def stream() -> Iterator[int]:
        yield 1
        yield 2
        raise ValueError("third")

    ahead = one_ahead(stream())
    assert [next(ahead), next(ahead)] == [1, 2]
    with pytest.raises(ValueError, match="third"):
        next(ahead)
