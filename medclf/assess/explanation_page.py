"""The page of `medclf-explain`: each text with the words shaded that its answer rests on."""

from collections.abc import Iterable, Sequence
from html import escape

import numpy as np

from medclf.assess.explain import ExplainedText
from medclf.evaluate.page import page, table

FOR, AGAINST = "59, 120, 181", "214, 90, 40"
N_SHOWN = 8  # words of the table below a text
LEAST = 0.02  # of the strongest effect; less is not shaded

STYLE = (
    "<style>.text { white-space: pre-wrap; border: 1px solid #8a8f9855; padding: .8rem; border-radius: .3rem; "
    "line-height: 1.8; overflow-wrap: anywhere; } "
    ".text mark { color: inherit; padding: .1rem 0; border-radius: .2rem; }</style>"
)


def explanation_page(texts: Iterable[ExplainedText], names: Sequence[str]) -> str:
    """Write the page; it holds the texts.

    Args:
        texts: With their explanations.
        names: Label names in logit order.

    Returns:
        HTML.
    """
    head = (
        "<h1>medclf: what the answers rest on</h1><p>Each word was left out in turn, and the model answered again. "
        f"{_mark('Blue', FOR, 0.6)} words speak for the label: without them it is less probable. "
        f"{_mark('Orange', AGAINST, 0.6)} words speak against it. The stronger the colour, the larger the effect; "
        "hover over a word for its figures.</p><p>This shows what the model reacts to, and not what is true of the "
        "patient. Words that say the same thing twice hide each other. This page holds the texts: treat it as you "
        "treat them.</p>"
    )
    return page("medclf explanation", [STYLE, head, *(_text(one, names) for one in texts)])


def _text(one: ExplainedText, names: Sequence[str]) -> str:
    found = one.explanation
    given = "no label: too unsure, a person should look" if found.label is None else _listed(found.label)
    cut = " The text is longer than the model reads; what it did not read has no effect." if found.truncated else ""
    parts = [f"<h2>Row {one.row:,}: {escape(given)}</h2>", f"<p>{cut.strip()}</p>" if cut else ""]
    for name in one.labels:
        column = names.index(name)
        probability = float(found.probabilities[column])
        parts.append(f"<h3>{escape(name)}, probability {probability:.3f}</h3>")
        parts.append(_shaded(one, column, second=False))
        if one.pair is not None:
            parts.append(_shaded(one, column, second=True))
        parts.append(_strongest(one, column))
    return "".join(parts)


def _listed(label: str | tuple[str, ...]) -> str:
    return label if isinstance(label, str) else ", ".join(label) or "none of the labels"


def _shaded(one: ExplainedText, column: int, *, second: bool) -> str:
    """A text with its pieces marked; white space between them stays as it is."""
    text, found = one.pair or "" if second else one.text, one.explanation
    effects = found.effects[:, column]
    strongest = max(float(np.abs(effects).max(initial=0)), 1e-6)
    parts, at = [], 0
    for piece, effect, without in zip(found.pieces, effects.tolist(), found.without[:, column].tolist(), strict=True):
        if piece.second is not second:
            continue
        parts.append(escape(text[at : piece.start]))
        title = f"effect {effect:+.2f}; without it the probability is {without:.3f}"
        share = abs(effect) / strongest
        word = text[piece.start : piece.end]
        parts.append(_mark(word, FOR if effect > 0 else AGAINST, share if share >= LEAST else 0.0, title))
        at = piece.end
    return f'<div class="text">{"".join(parts)}{escape(text[at:])}</div>'


def _mark(word: str, color: str, share: float, title: str = "") -> str:
    return f'<mark style="background: rgba({color}, {0.75 * share:.2f})" title="{escape(title)}">{escape(word)}</mark>'


def _strongest(one: ExplainedText, column: int) -> str:
    found = one.explanation
    order = np.argsort(-np.abs(found.effects[:, column]), kind="stable")[:N_SHOWN].tolist()
    rows = []
    for i in order:
        piece = found.pieces[i]
        word = (one.pair or "" if piece.second else one.text)[piece.start : piece.end]
        rows.append((word, f"{found.effects[i, column]:+.2f}", f"{found.without[i, column]:.3f}"))
    return table(("strongest words", "effect, log-odds", "probability without"), rows)
