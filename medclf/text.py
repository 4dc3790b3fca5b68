"""What counts as a text. Tables, training and the runtime all ask here, so that they refuse the same rows.

`native/src/text.cpp` is the same in C++: change both.
"""

MAX_CHARACTERS = 1_000_000  # of one text; more is a quote that was never closed, or a file in a cell


def text_fault(text: object) -> str | None:
    """Say why a value cannot be classified, without quoting it.

    Args:
        text: The value of one row.

    Returns:
        The reason, fit for the end of an error message, or None for a text that can be classified.
    """
    if not isinstance(text, str):
        return f"is {type(text).__name__}, not a string"
    if len(text) > MAX_CHARACTERS:
        return f"has {len(text):,} characters, at most {MAX_CHARACTERS:,} are allowed (is a quote left open?)"
    if not text.strip():
        return "is empty"
    if "\0" in text:
        return f"holds a NUL character (at character {text.index(chr(0)) + 1:,})"
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        return f"holds half of a surrogate pair (at character {error.start + 1:,}): it was decoded wrongly"
    return None
