"""A long input in pieces: memory is bounded by a window, and the next window is made while the last one runs."""

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

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
    window = _Window[T]()
    for item in items:
        if window.fills(item, n_characters(item)):
            yield window.items
            window = _Window()
    if window.items:
        yield window.items


async def windows_of_async(items: AsyncIterable[T], n_characters: Callable[[T], int]) -> AsyncIterator[list[T]]:
    """Cut an asynchronous stream, as `windows`.

    Args:
        items: The stream; read only as far as asked for.
        n_characters: Gives the length of an item.

    Yields:
        Lists, none empty.
    """
    window = _Window[T]()
    async for item in items:
        if window.fills(item, n_characters(item)):
            yield window.items
            window = _Window()
    if window.items:
        yield window.items


class _Window(Generic[T]):
    """A window that is being filled."""

    def __init__(self) -> None:
        self.items: list[T] = []
        self._n_characters = 0

    def fills(self, item: T, n_characters: int) -> bool:
        """Add an item; say whether the window is full."""
        self.items.append(item)
        self._n_characters += n_characters
        return len(self.items) >= WINDOW_TEXTS or self._n_characters >= WINDOW_CHARACTERS


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
