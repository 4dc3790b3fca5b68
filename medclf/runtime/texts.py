"""What a caller hands in: checked, and cut into windows."""

from collections.abc import AsyncIterable, Iterable, Iterator, Mapping, Sequence, Set, Sized
from itertools import zip_longest

from medclf.errors import InputError, OptionError
from medclf.runtime.windows import windows
from medclf.text import text_fault

Texts = tuple[Sequence[str], Sequence[str] | None]  # texts, and the second text of each or None
Faults = dict[int, str]  # index of a text -> why it cannot be classified

N_SHOWN = 5  # faults in a message
_NOTHING = object()


def check_lists(texts: Sequence[str], pairs: Sequence[str] | None) -> None:
    """Make sure that texts and their second texts are lists of one length.

    Args:
        texts: The texts.
        pairs: The second text of each, or None.

    Raises:
        InputError: One is no list, or their lengths differ.
    """
    check_streams(texts, pairs)
    for name, given in (("texts", texts), ("pairs", [] if pairs is None else pairs)):
        if not isinstance(given, Sized):
            raise InputError(f"{name} is one {type(given).__name__}, expected a list; streams go to predict_iter.")
    if pairs is not None and len(pairs) != len(texts):
        raise InputError(f"{len(texts)} texts and {len(pairs)} pairs: each text needs its second text.")


def check_streams(texts: object, pairs: object = None) -> None:
    """Make sure that texts come one after the other: of a single string, the characters would be classified.

    Args:
        texts: The texts.
        pairs: The second text of each, or None.

    Raises:
        InputError: One is a single string, a dictionary, a set, or nothing that can be read in order.
    """
    for name, given in (("texts", texts), ("pairs", [] if pairs is None else pairs)):
        if isinstance(given, (str, bytes)):
            raise InputError(f"{name} is one {type(given).__name__}, expected a list: write [text] for a single text.")
        if isinstance(given, (Mapping, Set)) or not isinstance(given, (Iterable, AsyncIterable)):
            raise InputError(f"{name} is one {type(given).__name__}, expected a list.")


def raises(on_error: str) -> bool:
    """Read the option `on_error`.

    Args:
        on_error: `raise` or `skip`.

    Returns:
        Whether a text with a fault raises an error.

    Raises:
        OptionError: It is neither.
    """
    if on_error not in ("raise", "skip"):
        raise OptionError(f"on_error is {on_error!r}, expected 'raise' or 'skip'.")
    return on_error == "raise"


def find_faults(texts: Sequence[str], pairs: Sequence[str] | None) -> Faults:
    """Find the texts that cannot be classified.

    Args:
        texts: The texts.
        pairs: The second text of each, or None.

    Returns:
        Index of each -> why, in order.
    """
    faults = {i: fault for i, text in enumerate(texts) if (fault := text_fault(text))}
    for i, pair in enumerate(pairs or ()):
        if fault := text_fault(pair):
            faults.setdefault(i, f"has a second text that {fault}")
    return dict(sorted(faults.items()))


def faulty(faults: Faults, n_texts: int, *, first: int = 0) -> InputError:
    """Tell all faults in one error.

    Args:
        faults: At least one.
        n_texts: How many texts were looked at.
        first: Place of the first of them in the caller's stream.

    Returns:
        An error that counts them and gives the first five.
    """
    shown = "; ".join(f"texts[{first + i}] {why}" for i, why in list(faults.items())[:N_SHOWN])
    rest = f"; and {len(faults) - N_SHOWN} more" if len(faults) > N_SHOWN else ""
    of = f"{len(faults)} of {n_texts} texts" + (f" from texts[{first}] on" if first else "")
    return InputError(f"{of} cannot be classified: {shown}{rest}. on_error='skip' answers the others.")


def cut(texts: Iterable[str], pairs: Iterable[str] | None) -> Iterator[Texts]:
    """Cut texts into windows; they are read only as far as asked for.

    Args:
        texts: The texts.
        pairs: The second text of each, or None.

    Yields:
        Windows, none empty.

    Raises:
        InputError: One stream ended before the other.
    """
    if pairs is None:
        for window in windows(texts, n_characters):
            yield window, None
        return
    for both in windows(_side_by_side(texts, pairs), lambda both: n_characters(both[0]) + n_characters(both[1])):
        yield [text for text, _ in both], [pair for _, pair in both]


def n_characters(text: object) -> int:
    """Give the length of a text.

    Args:
        text: What was given as one.

    Returns:
        Characters; 0 for what is not a string: a fault, which is found later.
    """
    return len(text) if isinstance(text, str) else 0


def _side_by_side(texts: Iterable[str], pairs: Iterable[str]) -> Iterator[tuple[str, str]]:
    for i, (text, pair) in enumerate(zip_longest(texts, pairs, fillvalue=_NOTHING)):
        if text is _NOTHING or pair is _NOTHING:
            name = "texts" if text is _NOTHING else "pairs"
            raise InputError(f"{name} ended after {i}, the other did not: each text needs its second text.")
        yield text, pair  # type: ignore[misc]
