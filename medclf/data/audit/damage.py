"""Characters that a wrong encoding, a web page or a copy left behind."""

import re
from collections.abc import Iterator

from medclf.data.audit.findings import Finding, Severity, count_text, finding
from medclf.data.tables import LabelledTexts

# UTF-8 that was read as Windows-1252 or Latin-1: a first byte and as many following ones as it announces. Of first
# bytes of two, only those of Latin, Greek and Cyrillic letters: others are often letters before a closing quote
_FOLLOWING = "[\x80-\xbf" + "".join(re.escape(c) for c in bytes(range(0x80, 0xA0)).decode("cp1252", "ignore")) + "]"
_MOJIBAKE = f"[\xc2-\xd1]{_FOLLOWING}|[\xe0-\xef]{_FOLLOWING}{{2}}|[\xf0-\xf4]{_FOLLOWING}{{3}}"

CHECKS: tuple[tuple[str, Severity, re.Pattern[str], str, str], ...] = (
    (
        "replacement_characters", "warning", re.compile("\ufffd"),
        "with U+FFFD, which stands for characters that were lost",
        "They cannot be had back from this file: read the source again with its right encoding.",
    ),
    (
        "mojibake", "warning", re.compile(_MOJIBAKE),
        "with UTF-8 that was read in another encoding (such as \u00c3\u00a9 for \u00e9)",
        "Read the source as UTF-8, or repair the texts with ftfy.",
    ),
    (
        "control_characters", "warning", re.compile("[\x01-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]"),
        "with control characters (from U+0080 on: Windows-1252 that was read as Latin-1)",
        "Read the source with its right encoding, such as --encoding cp1252, or remove them.",
    ),
    (
        "html", "warning",
        re.compile(r"&(?:[a-zA-Z][a-zA-Z0-9]{1,7}|#\d{1,6}|#[xX][0-9a-fA-F]{1,5});|</?[a-z][a-z0-9]{0,9}/?>"),
        "with HTML entities or tags (such as &gt;)",
        "Decode them (html.unescape), in training and in use alike.",
    ),
    (
        "odd_spaces", "note", re.compile("[\xa0\u2000-\u200f\u2028\u2029\u202f\u205f\u2060\u3000\ufeff]"),
        "with spaces of an unusual kind or characters without width",
        "A BERT tokenizer takes most of them for spaces; other code may not.",
    ),
)  # fmt: skip


def damage(data: LabelledTexts) -> Iterator[Finding]:
    """Look for damaged characters.

    Args:
        data: The table.

    Yields:
        A finding for each kind that occurs.
    """
    texts = data.texts if data.pairs is None else [f"{a}\n{b}" for a, b in zip(data.texts, data.pairs, strict=True)]
    for check, severity, pattern, what, do in CHECKS:
        rows = [row for row, text in zip(data.rows, texts, strict=True) if pattern.search(text)]
        if rows:
            yield finding(
                check,
                severity,
                data.file,
                f"{len(rows):,} of {count_text(len(data), 'text')} {what}.",
                do=do,
                rows=rows,
            )
