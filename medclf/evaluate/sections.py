"""The parts of a page about one model, from what `medclf.evaluate.measure` gives. Shared by every report."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from medclf.evaluate.charts import reliability_diagram, risk_coverage_curve
from medclf.evaluate.metrics import SHOWN
from medclf.evaluate.page import picture, table
from medclf.evaluate.visuals import bar, confusions, heatmap

Measured = Mapping[str, Any]
NBSP = "\u00a0"  # a space at which no line is broken


def percent(value: float | None, digits: int = 1) -> str:
    """Write a share as percent, or a dash for None."""
    return "–" if value is None else f"{100 * value:.{digits}f}{NBSP}%"


def with_interval(value: float, interval: Sequence[float] | None) -> str:
    """Write a score with its 95 % interval, such as `0.812 (0.780 to 0.843)`."""
    if interval is None:
        return f"{value:.3f}"
    return f"{value:.3f} ({interval[0]:.3f}{NBSP}to{NBSP}{interval[1]:.3f})"


def score_table(models: Mapping[str, Measured]) -> str:
    """Write the scores over all rows of one or more models, with intervals.

    Args:
        models: Name -> `scores` and `intervals`; `ranking` and `calibration` where they were measured.

    Returns:
        HTML.
    """
    first = next(iter(models.values()))["scores"]
    shown = [name for name in SHOWN if name in first]
    rows = [
        (
            name,
            *(with_interval(one["scores"][score], one["intervals"].get(score)) for score in shown),
            number(one.get("ranking", {}).get("macro_auroc")),
            number(one.get("ranking", {}).get("macro_auprc")),
            number(one.get("calibration", {}).get("ece")),
        )
        for name, one in models.items()
    ]
    header = ("model", *(SHOWN[name] for name in shown), "AUROC, mean", "AUPRC, mean", "ECE")
    return table(header, rows)


def number(value: float | None) -> str:
    """Write a score with three digits, or a dash for None."""
    return "–" if value is None else f"{value:.3f}"


def points(value: float) -> str:
    """Write a difference in points with its sign, such as `+1.46`; what rounds to nothing is `0.00`."""
    rounded = round(value, 2)
    return f"{rounded:+.2f}" if rounded else "0.00"


def label_table(measured: Measured) -> str:
    """Write the scores of each label, F1 as a bar with its interval.

    Args:
        measured: Of one model.

    Returns:
        HTML; a label that no row has bears dashes, as nothing is known of it.
    """
    ranks, intervals = measured["ranking"]["per_class"], measured["intervals"]["per_class"]
    rows = [
        (
            name,
            one["support"],
            percent(one["precision"]),
            percent(one["recall"] if one["support"] else None),
            number(one["f1"] if one["support"] else None),
            bar(one["f1"], intervals[name]),
            "–" if intervals[name] is None else f"{intervals[name][0]:.2f}{NBSP}to{NBSP}{intervals[name][1]:.2f}",
            number(ranks[name]["auroc"]),
            number(ranks[name]["auprc"]),
        )
        for name, one in measured["scores"]["per_class"].items()
    ]
    header = ("label", "texts", "precision", "recall", "F1", "F1, with 95 % interval", "interval", "AUROC", "AUPRC")
    return "<h3>Each label</h3>" + table(header, rows)


def confusion_matrix(names: Sequence[str], measured: Measured) -> str:
    """Write which label was given for which.

    Args:
        names: Label names in logit order.
        measured: Of one model.

    Returns:
        HTML; empty where a text may have several labels.
    """
    counts = measured.get("confusion")
    if counts is None:
        return ""
    errors = [(right, given, n, percent(share)) for right, given, n, share in confusions(names, counts)]
    most = table(("right label", "given instead", "texts", "of the right label's"), errors) if errors else ""
    return (
        "<h3>Which label was given for which</h3>"
        '<p class="note">A row is the right label, a column what the model gave. Blue is right, orange is wrong; the '
        "darker, the larger the share of the row.</p>"
        + heatmap(names, counts)
        + ("<h3>The most frequent errors</h3>" + most if most else "<p>No error.</p>")
    )


def trust(name: str, measured: Measured) -> str:
    """Write whether probabilities can be trusted, and what answering only sure texts gives.

    Args:
        name: Of the model.
        measured: Of it.

    Returns:
        HTML.
    """
    calibration, selective = measured["calibration"], measured["selective"]
    if calibration["temperature"] == 1:
        error = f"The expected calibration error (ECE) is {calibration['ece']:.3f}; no temperature was fitted."
    else:
        error = (
            f"The expected calibration error (ECE) is {calibration['ece']:.3f}, and would be "
            f"{calibration['ece_before']:.3f} without the temperature of {calibration['temperature']:.3g}."
        )
    left = picture(
        reliability_diagram(calibration),
        "Calibration. On the dotted line, answers given with 80 % are right in 80 % of cases; below it, the model "
        f"promises too much. {error}",
    )
    right = picture(
        risk_coverage_curve({name: selective}),
        "Selective answers. If only the surest texts are answered and the rest is left to a person, this share of the "
        f"answers is wrong. Area under the curve (AURC): {selective['aurc']:.4f}.",
    )
    rows = [(percent(one["coverage"]), percent(one["risk"]), f"{one['threshold']:.3f}") for one in selective["points"]]
    return (
        f'<h3>Can its probabilities be trusted?</h3><div class="pair">{left}{right}</div>'
        f"<p>Brier score {calibration['brier']:.4f}, log loss {calibration['log_loss']:.4f}.</p>"
        + table(("texts answered", "of these, wrong", "confidence from"), rows)
        + _abstention(selective.get("abstain_below"))
    )


def _abstention(point: Measured | None) -> str:
    if point is None:
        return "<p>This bundle answers every text. <code>medclf-export --abstain-below</code> sets a confidence.</p>"
    text = (
        f"<p>This bundle gives no label below a confidence of {point['threshold']:g}: {percent(point['coverage'])} of "
        f"these texts are answered, {percent(point['risk'])} of the answers are wrong.</p>"
    )
    each = point.get("per_label", {})
    rows = [(name, one["n"], percent(one["coverage"]), percent(one["risk"])) for name, one in each.items()]
    return text + (table(("label it would give", "texts", "answered", "of these, wrong"), rows) if rows else "")


def operating_table(found: Sequence[Measured]) -> str:
    """Write the operating points that were asked for.

    Args:
        found: As `medclf.evaluate.operating.find` gives them.

    Returns:
        HTML; empty without a point.
    """
    of_labels = [one for one in found if one["reached"] and "label" in one]
    of_model = [one for one in found if one["reached"] and "label" not in one]
    missed = [one for one in found if not one["reached"]]
    parts = ["<h3>Operating points</h3>"] if found else []
    if of_labels:
        header = ("label", "goal", "probability from", "recall", "precision", "texts to read", "missed", "work saved")
        parts.append(table(header, [_label_row(one) for one in of_labels]))
        parts.append(
            '<p class="note">Work saved (WSS; Cohen et al. 2006): the share of texts that need not be read, less what '
            "reading as many at random would miss. In brackets: 95 % intervals at this threshold. The threshold was "
            "chosen on these rows, so that other rows will reach a little less.</p>"
        )
    if of_model:
        rows = [
            (one["goal"], f"{one['threshold']:.4f}", *(_costs(one, name) for name in ("coverage", "accuracy")))
            for one in of_model
        ]
        parts.append(table(("goal", "abstain below", "texts answered", "of these, right"), rows))
    parts += [
        f"<p>{escape(one['goal'])}{escape(' for ' + one['label'] if 'label' in one else '')}: no threshold reaches it; "
        f"the best is {one['best']:.3f}.</p>"
        for one in missed
    ]
    return "".join(parts)


def _label_row(one: Measured) -> tuple[object, ...]:
    costs = {name: _costs(one, name) for name in ("recall", "precision", "work_saved")}
    return (
        one["label"], one["goal"], f"{one['threshold']:.4f}", costs["recall"], costs["precision"], one["n_given"],
        one["n_missed"], costs["work_saved"],
    )  # fmt: skip


def _costs(one: Measured, name: str) -> str:
    low, high = one["intervals"][name]
    return f"{percent(one[name])} ({100 * low:.1f}{NBSP}to{NBSP}{100 * high:.1f})"


def slice_tables(measured: Measured) -> str:
    """Write the scores of the parts of the rows.

    Args:
        measured: Of one model.

    Returns:
        HTML; empty without a part.
    """
    right = "exact match" if "exact_match" in measured["scores"] else "accuracy"
    parts = []
    for column, found in measured.get("slices", {}).items():
        rows = [
            (one["value"] or "(empty)", one["n"], percent(one["right"]), bar(one["right"], one["interval"]),
             f"{percent(one['interval'][0])}{NBSP}to{NBSP}{percent(one['interval'][1])}", f"{one['macro_f1']:.3f}",
             f"{one['ece']:.3f}") if "right" in one
            else (one["value"] or "(empty)", one["n"], "too few", "", "", "", "")
            for one in found
        ]  # fmt: skip
        header = ("part", "texts", right, f"{right}, with 95 % interval", "interval", "macro-F1", "ECE")
        parts.append(f"<h3>By {escape(column)}</h3>" + table(header, rows))
    return "".join(parts)


def level_table(measured: Measured) -> str:
    """Write the scores at each level of labels that are paths.

    Args:
        measured: Of one model.

    Returns:
        HTML; empty where labels are no paths.
    """
    found = measured.get("levels", [])
    if not found:
        return ""
    shown = [name for name in SHOWN if name in found[0]]
    rows = [(one["level"], one["n_labels"], *(one[name] for name in shown)) for one in found]
    return "<h3>By level of the labels</h3>" + table(("level", "labels", *(SHOWN[name] for name in shown)), rows)


def details(name: str, names: Sequence[str], measured: Measured) -> str:
    """Write everything about one model.

    Args:
        name: Of the model.
        names: Label names in logit order.
        measured: Of it.

    Returns:
        HTML.
    """
    return "".join(
        (
            label_table(measured),
            confusion_matrix(names, measured),
            trust(name, measured),
            operating_table(measured.get("operating_points", [])),
            slice_tables(measured),
            level_table(measured),
        )
    )
