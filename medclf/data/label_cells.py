"""The label cells of a table: one label, a list, several in one string, or a 0/1 column for each label.

A list means that a text may have any number of labels. A string is one label, unless the caller says that it holds
several, between semicolons.
"""

from collections.abc import Callable, Sequence

from medclf.labels import SEPARATOR, Label
from medclf.text import text_fault

MAX_LABEL = 200  # characters; more is a text, and a label's name is shown in messages
INDICATORS = {"0": False, "0.0": False, "false": False, "1": True, "1.0": True, "true": True}

Fault = tuple[int, str]  # position of a cell, and what is wrong with it, fit for the end of a message
_Read = tuple[Label | None, str | None]  # a label, or what is wrong with its cell


def parse_labels(cells: Sequence[object], *, multi_label: bool | None) -> tuple[list[Label], list[Fault]]:
    """Read the cells of one label column, all of them in the form of the first.

    Args:
        cells: One a row; None where a row has none.
        multi_label: Whether a text may have several labels; None takes lists for several and strings for one.

    Returns:
        The labels of the rows without a fault, and the faults.
    """
    first = next((cell for cell in cells if cell is not None), None)
    if isinstance(first, list) and multi_label is not False:
        return _parse(cells, _list)
    return _parse(cells, _separated if multi_label else _one)


def parse_indicators(columns: dict[str, list[object]]) -> tuple[list[Label], dict[str, list[Fault]]]:
    """Read a column of 0 and 1 for each label.

    Args:
        columns: Label -> its cells, one a row.

    Returns:
        The labels of each row, and the faults of each column.
    """
    n_rows = len(next(iter(columns.values())))
    names: list[list[str]] = [[] for _ in range(n_rows)]
    faults: dict[str, list[Fault]] = {}
    for label, cells in columns.items():
        for position, cell in enumerate(cells):
            given = INDICATORS.get(str(cell).strip().lower())
            if given is None:
                fault = "is missing" if cell is None else "is not 0 or 1, as a column of one of several labels must be"
                faults.setdefault(label, []).append((position, fault))
            elif given:
                names[position].append(label)
    return [tuple(row) for row in names], faults


def _parse(cells: Sequence[object], read: Callable[[object], _Read]) -> tuple[list[Label], list[Fault]]:
    labels: list[Label] = []
    faults: list[Fault] = []
    for position, cell in enumerate(cells):
        label, fault = read(cell)
        if label is not None:
            labels.append(label)
        if fault:
            faults.append((position, fault))
    return labels, faults


def _one(cell: object) -> _Read:
    if cell is None:
        return None, "is missing"
    if isinstance(cell, list):
        return None, "is list, a single label was expected: either all rows have a list or none, in every table"
    return _name(cell)


def _list(cell: object) -> _Read:
    if cell is None:
        return None, "is missing, an empty list was expected where a text has no label"
    if not isinstance(cell, list):
        return None, f"is {type(cell).__name__}, a list was expected: either all rows have a list or none"
    return _names(cell)


def _separated(cell: object) -> _Read:
    if cell is None:
        return None, "is missing, an empty string was expected where a text has no label"
    if isinstance(cell, list):
        return None, f"is list, a string was expected, such as 'a{SEPARATOR}b': either all rows have a list or none"
    if isinstance(cell, str):
        return _names(cell.split(SEPARATOR) if cell.strip() else [])
    return _names([cell])


def _names(cells: Sequence[object]) -> _Read:
    names = []
    for cell in cells:
        name, fault = _name(cell)
        if name is None:
            return None, f"holds a label that {fault}"
        names.append(name)
    return tuple(dict.fromkeys(names)), None


def _name(cell: object) -> tuple[str | None, str | None]:
    if isinstance(cell, bool) or not isinstance(cell, int | str):
        return None, f"is {type(cell).__name__}, a string or a whole number was expected"
    name = str(cell).strip()
    if len(name) > MAX_LABEL:
        return None, f"has {len(name):,} characters, at most {MAX_LABEL} are a label: is this a column of texts?"
    fault = text_fault(name)
    return (None, fault) if fault else (name, None)
