"""A long input in pieces: memory is bounded by a window, and the next window is made while the last one runs."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

# Enough texts for sorting by length to leave next to no padding, few enough to hold: about 4 MB of text.
WINDOW_TEXTS = 2_048
WINDOW_CHARACTERS = 4_000_000

T = TypeVar("T")


def windows(items: Iterable[T], n_characters: Callable[[T], int]) -> Iterator[list[T]]:
    """Cut a stream into lists of at most WINDOW_TEXTS items and about WINDOW_CHARACTERS characters.

    Args:
        items: The stream; read only as far as asked for.
        n_characters: Gives the length of an item.

    Yields:
        Lists, none empty; an item longer than WINDOW_CHARACTERS ends its list.
    """
    window: list[T] = []
    total = 0
    for item in items:
        window.append(item)
        total += n_characters(item)
        if len(window) == WINDOW_TEXTS or total >= WINDOW_CHARACTERS:
            yield window
            window, total = [], 0
    if window:
        yield window


def one_ahead(items: Iterable[T]) -> Iterator[T]:
    """Make each item in a second thread while the caller works on the one before.

    Args:
        items: The stream, which must not hold None; its errors reach the caller in order.

    Yields:
        The items, in order.
    """
    stream = iter(items)
    with ThreadPoolExecutor(1, thread_name_prefix="medclf-ahead") as thread:
        item = next(stream, None)
        while item is not None:
            following = thread.submit(next, stream, None)
            yield item
            item = following.result()
