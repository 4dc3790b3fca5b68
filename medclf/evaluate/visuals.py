"""Pictures that hold label names, as HTML: a browser has the letters of every script, and clips none.

Curves, which hold none, are in `medclf.evaluate.charts`.
"""

from collections.abc import Sequence
from html import escape

from medclf.evaluate.page import Html

MANY = 8  # labels; with more, columns are numbered
COMPACT = 15  # labels; with more, letters are small
DARK = 0.55  # share of a row from which letters are white
RIGHT, WRONG = "59, 120, 181", "214, 90, 40"


def bar(value: float, interval: tuple[float, float] | None = None) -> Html:
    """Draw a share as a bar.

    Args:
        value: 0 to 1.
        interval: Its 95 % interval, drawn as a stripe on the bar.

    Returns:
        HTML for a cell.
    """
    stripe = ""
    if interval is not None:
        low, high = (100 * min(max(end, 0.0), 1.0) for end in interval)
        stripe = f'<b style="left: {low:.1f}%; width: {max(high - low, 0.5):.1f}%"></b>'
    return Html(f'<div class="bar"><i style="width: {100 * value:.1f}%"></i>{stripe}</div>')


def heatmap(names: Sequence[str], counts: Sequence[Sequence[int]]) -> str:
    """Draw a confusion matrix: a row for each right label, shaded by the share of the row.

    Args:
        names: Label names.
        counts: [labels, labels]; entry i, j counts the texts of label i that were given label j.

    Returns:
        HTML; with more than MANY labels, columns bear the numbers of the rows.
    """
    numbered = len(names) > MANY
    heads = [str(i) for i in range(1, len(names) + 1)] if numbered else list(names)
    head = "".join(f'<th title="{escape(name)}">{escape(one)}</th>' for one, name in zip(heads, names, strict=True))
    body = "".join(
        f"<tr><th>{f'{i + 1} &nbsp;' if numbered else ''}{escape(names[i])}</th>{_row(names, i, row)}</tr>"
        for i, row in enumerate(counts)
    )
    kind = "heat many" if len(names) > COMPACT else "heat"
    return (
        f'<div class="scroll"><table class="{kind}"><thead><tr><th></th>{head}<th>texts</th></tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _row(names: Sequence[str], i: int, row: Sequence[int]) -> str:
    n = sum(row)
    cells = []
    for j, count in enumerate(row):
        share = count / max(n, 1)
        if not count:
            cells.append("<td></td>")
            continue
        title = escape(f"{names[i]}, given {names[j]}: {count:,} of {n:,} ({100 * share:.1f} %)")
        dark = ' class="dark"' if share > DARK else ""
        color = f"rgba({RIGHT if i == j else WRONG}, {0.12 + 0.88 * share:.2f})"
        cells.append(f'<td{dark} title="{title}" style="background: {color}">{count:,}</td>')
    return f"{''.join(cells)}<td>{n:,}</td>"


def confusions(
    names: Sequence[str], counts: Sequence[Sequence[int]], n_shown: int = 10
) -> list[tuple[str, str, int, float]]:
    """Find the errors that occur most often.

    Args:
        names: Label names.
        counts: As for `heatmap`.
        n_shown: Most entries.

    Returns:
        The right label, the label that was given, how often, and the share of the right label's texts.
    """
    errors = [
        (names[i], names[j], count, count / max(sum(row), 1))
        for i, row in enumerate(counts)
        for j, count in enumerate(row)
        if i != j and count
    ]
    return sorted(errors, key=lambda one: -one[2])[:n_shown]
