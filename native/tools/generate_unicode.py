"""Writes `native/src/unicode_tables.inc`: what Hugging Face `tokenizers` does with each code point.

    python native/tools/generate_unicode.py            # writes the file
    python native/tools/generate_unicode.py --check    # exit code 1 if the file differs from what would be written

Asks BertNormalizer and BertPreTokenizer themselves, as the Unicode data of other libraries are of other versions. The
reader of the tables is `native/src/unicode.hpp`; `tests/native/test_unicode_tables.py` keeps both in step.
"""

import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import tokenizers
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

TABLES = Path(__file__).resolve().parents[1] / "src" / "unicode_tables.inc"
HANGUL = range(0xAC00, 0xD7A4)
CODE_POINTS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
DROPPED, SPACE, CHINESE, PUNCTUATION, WHITESPACE, DECOMPOSES, LOWERS, REORDERS, BLOCKS = (1 << i for i in range(9))
HIGH, LOW = "\u302e", "\u1b44"  # marks that are kept, of a high and of a low combining class
FENCE = "0"  # stands between code points that are normalized together; no step makes or changes one
CHUNK = 4096

Mapping = dict[int, str]


def normalizer(**only: bool) -> Callable[[str], str]:
    """One step of BertNormalizer, all others off."""
    off = {"clean_text": False, "handle_chinese_chars": False, "strip_accents": False, "lowercase": False}
    function: Callable[[str], str] = BertNormalizer(**{**off, **only}).normalize_str
    return function


def changed(step: Callable[[str], str]) -> Mapping:
    """Each code point that a step changes, with what it becomes."""
    found = {}
    for start in range(0, len(CODE_POINTS), CHUNK):
        part = CODE_POINTS[start : start + CHUNK]
        results = step(FENCE.join(map(chr, part))).split(FENCE)
        if len(results) != len(part):  # the chunk that holds the fence itself
            results = [step(chr(c)) for c in part]
        found |= {c: result for c, result in zip(part, results, strict=True) if result != chr(c)}
    return found


def word_breaks() -> tuple[set[int], set[int]]:
    """The code points that are words of their own, and those that only part words."""
    split = BertPreTokenizer().pre_tokenize_str
    punctuation, whitespace = set(), set()
    for start in range(0, len(CODE_POINTS), CHUNK):
        part = CODE_POINTS[start : start + CHUNK]
        words = split("a" + "".join(f"{chr(c)}a" for c in part))  # code point i stands at offset 2 i + 1
        within: set[int] = set()
        for _, (begin, end) in words:
            within |= set(range(begin, end))
            if end - begin == 1 and begin % 2:
                punctuation.add(part[begin // 2])
        whitespace |= {c for i, c in enumerate(part) if 2 * i + 1 not in within}
    return punctuation, whitespace


def mark_order(strip: Callable[[str], str], decompositions: Mapping, dropped: set[int]) -> dict[int, int]:
    """The marks that are kept and change places, each with its rank: lower ones come first."""
    if strip(HIGH + LOW) != LOW + HIGH:
        raise SystemExit("U+302E and U+1B44 do not change places any more: choose two marks that do")
    kept = (c for c in CODE_POINTS if c not in decompositions and c not in HANGUL and c not in dropped)
    moving = {ord(HIGH), ord(LOW)}
    moving |= {c for c in kept if strip(HIGH + chr(c)) != HIGH + chr(c) or strip(chr(c) + LOW) != chr(c) + LOW}

    def precedes(first: int, second: int) -> bool:
        return first != second and strip(chr(second) + chr(first)) == chr(first) + chr(second)

    return {c: 1 + sum(precedes(other, c) for other in moving) for c in sorted(moving)}


def check_hangul(strip: Callable[[str], str]) -> None:
    """Hangul is decomposed by arithmetic in C++: make sure that `tokenizers` does the same."""
    for index, c in enumerate(HANGUL):
        lead, vowel, tail = 0x1100 + index // 588, 0x1161 + index % 588 // 28, 0x11A7 + index % 28
        wanted = chr(lead) + chr(vowel) + (chr(tail) if index % 28 else "")
        if strip(chr(c)) != wanted:
            raise SystemExit(f"U+{c:04X} is not decomposed by the rule for Hangul")


def tables() -> str:
    """The text of the file."""
    clean = changed(normalizer(clean_text=True))
    strip = normalizer(strip_accents=True)
    check_hangul(strip)
    decompositions = {c: to for c, to in changed(strip).items() if c not in HANGUL}
    lowercase = changed(normalizer(lowercase=True))
    punctuation, whitespace = word_breaks()
    dropped = {c for c, to in clean.items() if not to}
    order = mark_order(strip, decompositions, dropped)
    removed = (c for c, to in decompositions.items() if not to)
    properties = combine(
        (DROPPED, dropped),
        (SPACE, {c for c, to in clean.items() if to == " "}),
        (CHINESE, changed(normalizer(handle_chinese_chars=True))),
        (PUNCTUATION, punctuation),
        (WHITESPACE, whitespace),
        (DECOMPOSES, decompositions),
        (LOWERS, lowercase),
        (REORDERS, order),
        (BLOCKS, {c for c in removed if strip(HIGH + chr(c) + LOW) == HIGH + LOW}),
    )
    head = f"// Generated by native/tools/generate_unicode.py from tokenizers {tokenizers.__version__}; do not edit.\n"
    marks = (f"{{0x{c:x},{rank}}}" for c, rank in order.items())
    return (
        head
        + pages(properties)
        + array("const Mapping kDecompositions[]", mappings(decompositions))
        + array("const Mapping kLowercase[]", mappings(lowercase))
        + array("const Mark kMarks[]", marks)
    )


def combine(*flags: tuple[int, Iterable[int]]) -> list[int]:
    """The properties of every code point, one bit each."""
    properties = [0] * 0x110000
    for flag, members in flags:
        for c in members:
            properties[c] |= flag
    return properties


def pages(properties: list[int]) -> str:
    """A table in two stages: the page of each 256 code points, and the pages that differ."""
    index: dict[tuple[int, ...], int] = {}
    numbers = [index.setdefault(tuple(properties[i : i + 256]), len(index)) for i in range(0, len(properties), 256)]
    if len(index) > 256:
        raise SystemExit(f"{len(index)} different pages: kPages needs a wider type")
    rows = (value for page in index for value in page)
    return array("const uint8_t kPages[0x1100]", map(str, numbers)) + array(
        "const uint16_t kProperties[]", map(str, rows)
    )


def mappings(table: Mapping) -> Iterator[str]:
    """Entries of at most 4 code points each, filled with 0, in the order of code points."""
    for c, to in sorted(table.items()):
        if len(to) > 4:
            raise SystemExit(f"U+{c:04X} becomes {len(to)} code points: Mapping needs more room")
        parts = ",".join(f"0x{ord(one):x}" for one in to) or "0"
        yield f"{{0x{c:x},{{{parts}}}}}"


def array(declaration: str, values: Iterable[str]) -> str:
    """A C++ array in lines of at most 120 characters."""
    lines, line = [f"{declaration} = {{"], ""
    for value in values:
        if len(line) + len(value) > 118:
            lines.append(line)
            line = ""
        line += f"{value},"
    return "\n".join([*lines, line, "};"]) + "\n"


def main() -> None:
    """Write the file, or compare it."""
    text = tables()
    if "--check" in sys.argv[1:]:
        sys.exit(0 if TABLES.read_text(encoding="ascii") == text else f"{TABLES} is not what tokenizers does: run me")
    TABLES.write_text(text, encoding="ascii")


if __name__ == "__main__":
    main()
