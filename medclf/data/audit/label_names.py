"""Label names that look like one label written in two ways, or like no label at all."""

import re
from collections.abc import Iterable, Iterator, Sequence
from difflib import SequenceMatcher
from itertools import combinations

from medclf.data.audit.findings import Finding
from medclf.data.keys import fold
from medclf.labels import SEPARATOR

SIMILAR = 0.9  # of SequenceMatcher, from 0 to 1: neoplasm and neoplasms are .94, hyper- and hypotension .87
MAX_COMPARED = 1_000  # names; their pairs are compared one by one
NO_LABEL = {"", "-", "?", "n a", "n / a", "na", "nan", "none", "null", "unknown", "undefined", "todo", "label", "other"}
SHOWN = 5


def suspicious_names(file: object, names: Sequence[str], *, several: bool) -> Iterator[Finding]:
    """Look for names that are probably a mistake.

    Args:
        file: The table.
        names: Its labels.
        several: Whether a text may have several labels.

    Yields:
        A finding for each kind that occurs; its count is of labels.
    """
    same = [pair for pair in combinations(names, 2) if _letters(pair[0]) == _letters(pair[1])]
    yield from _named(
        "label_synonyms", "error", file, same, "differ in case, spaces or punctuation alone",
        "Write each label in one way: as it is, they are different classes.",
    )  # fmt: skip
    few = names[:MAX_COMPARED]
    close = [pair for pair in combinations(few, 2) if pair not in same and _close(*pair)]
    yield from _named(
        "label_look_alikes", "warning", file, close, "differ by very few letters",
        "If they mean the same, write them in one way.",
    )  # fmt: skip
    empty = [name for name in names if fold(name) in NO_LABEL]
    yield from _named(
        "label_placeholders", "warning", file, empty, "look like a missing value or a remainder",
        "A class of unlike texts is hard to learn: remove these rows, or give them their label.",
    )  # fmt: skip
    numbers = [name for name in names if re.fullmatch(r"-?\d+(\.\d+)?", name)]
    yield from _named(
        "label_numbers", "note", file, numbers, "are numbers",
        "Answers will be these numbers: write names where they have a meaning.",
    )  # fmt: skip
    joined = [] if several else [name for name in names if SEPARATOR in name]
    yield from _named(
        "label_separators", "warning", file, joined, f"hold {SEPARATOR!r}",
        "If it stands between several labels of a text, pass --multi-label.",
    )  # fmt: skip


def _letters(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.casefold()) or name


def _close(first: str, second: str) -> bool:
    """Type 1 and type 2 differ by a letter, and not by mistake: digits must be the same."""
    a, b = first.casefold(), second.casefold()
    if re.findall(r"\d+", a) != re.findall(r"\d+", b) or min(len(a), len(b)) < 5:
        return False
    matcher = SequenceMatcher(None, a, b, autojunk=False)
    return matcher.real_quick_ratio() >= SIMILAR and matcher.quick_ratio() >= SIMILAR and matcher.ratio() >= SIMILAR


def _named(
    check: str, severity: str, file: object, found: Iterable[str | tuple[str, str]], what: str, do: str
) -> Iterator[Finding]:
    found = list(found)
    if found:
        shown = ", ".join(repr(one) if isinstance(one, str) else f"{one[0]!r} and {one[1]!r}" for one in found[:SHOWN])
        more = ", ..." if len(found) > SHOWN else ""
        kind = "labels" if isinstance(found[0], str) else "pairs of labels"
        yield Finding(check, severity, str(file), len(found), f"{len(found)} {kind} {what}: {shown}{more}.", do)  # type: ignore[arg-type]
