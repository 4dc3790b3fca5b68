"""An HTML page that needs no network: its style, its tables and its pictures, for every report."""

import io
import re
import warnings
from collections.abc import Iterable, Sequence
from html import escape

import matplotlib
from matplotlib.figure import Figure

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 62rem; padding: 0 1rem; color: #1c1e21; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.2rem; }
table { border-collapse: collapse; margin: .6rem 0; }
th, td { padding: .25rem .7rem; border-bottom: 1px solid #d8dadd; }
th { text-align: left; font-weight: 600; } td { font-variant-numeric: tabular-nums; } td.n { text-align: right; }
figure { margin: 1rem 0; } figure svg { background: #fff; height: auto; max-width: 100%; }
figcaption { color: #5b6068; font-size: .9rem; }
.scroll { overflow-x: auto; } .note { color: #5b6068; font-size: .9rem; }
.pair { display: flex; flex-wrap: wrap; gap: 1rem; } .pair > * { flex: 1 1 24rem; min-width: 0; }
.bar { position: relative; width: 9rem; height: .95rem; background: #8a8f9833; }
.bar i { position: absolute; inset: 0 auto 0 0; background: #3b78b5; }
.bar b { position: absolute; top: .36rem; height: .23rem; background: #f0a030; }
table.heat { font-size: .85rem; } table.heat td { text-align: right; padding: .2rem .4rem; min-width: 1.4rem; }
table.heat.many { font-size: .62rem; } table.heat.many td, table.heat.many th { padding: .1rem; min-width: .9rem; }
table.heat.many tbody th { white-space: normal; min-width: 9rem; max-width: 13rem; }
table.heat thead th { text-align: right; } table.heat tbody th { white-space: nowrap; font-weight: 400; }
table.heat td.dark { color: #fff; }
@media print { .scroll { overflow: visible; } }
@media (prefers-color-scheme: dark) { body { background: #17191c; color: #e6e7e9; } th, td { border-color: #3a3e44; } }
"""


class Html(str):
    """A piece of a page that is markup already, such as a bar in a cell of a table."""

    __slots__ = ()


def page(title: str, sections: Iterable[str]) -> str:
    """Write a whole page.

    Args:
        title: Of the browser's tab.
        sections: HTML; empty ones are left out.

    Returns:
        HTML.
    """
    body = "\n".join(section for section in sections if section)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{escape(title)}</title>'
        f"<style>{STYLE}</style></head><body>\n{body}\n</body></html>\n"
    )


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Write a table; numbers are aligned to the right.

    Args:
        header: Names of the columns.
        rows: Cells; text is escaped unless it is `Html`, floats are given four digits.

    Returns:
        HTML.
    """
    head = "".join(f"<th>{escape(name)}</th>" for name in header)
    body = "".join(f"<tr>{''.join(_cell(value) for value in row)}</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _cell(value: object) -> str:
    if isinstance(value, Html):
        return f"<td>{value}</td>"
    if isinstance(value, float):
        return f'<td class="n">{value:.4f}</td>'
    return f'<td class="n">{value:,}</td>' if isinstance(value, int) else f"<td>{escape(str(value))}</td>"


def picture(figure: Figure, caption: str) -> str:
    """Put a chart into a page.

    Args:
        figure: Of matplotlib; drawn on white, so that it can be read on a dark page too.
        caption: What it shows, in a sentence; also read aloud in its place.

    Returns:
        HTML with the chart as SVG inside.
    """
    buffer = io.StringIO()
    # letters stay text, in the fonts of the reader: smaller, searchable, and label names of any script are readable
    with matplotlib.rc_context({"svg.fonttype": "none"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # its width alone is a guess
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    svg = re.sub(r"^.*?(?=<svg )", "", buffer.getvalue(), flags=re.DOTALL)  # not the head of a file of its own
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)  # who drew it, in links
    return f'<figure role="img" aria-label="{escape(caption)}">{svg}<figcaption>{escape(caption)}</figcaption></figure>'
