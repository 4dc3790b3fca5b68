"""An evaluation in a few tables of text, for a terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from medclf.evaluate.metrics import SHOWN
from medclf.evaluate.sections import number, percent, points, with_interval

TextTable = tuple[str, Sequence[str], Sequence[Sequence[str]]]  # title, header, rows


def tables(document: Mapping[str, Any]) -> list[TextTable]:
    """Give the tables, most important first.

    Args:
        document: As `medclf.assess.evaluate` makes it.

    Returns:
        Title, header and rows of each.
    """
    models: Mapping[str, Any] = document["models"]
    served = next(iter(models))
    one = models[served]
    found = [_scores(document), _labels(served, one), _probabilities(models)]
    if one.get("operating_points"):
        found.append(_operating_points(one["operating_points"]))
    found += [_slice(column, parts) for column, parts in one.get("slices", {}).items()]
    if one.get("levels"):
        found.append(_levels(one["levels"]))
    if document["comparisons"]:
        found.append(_comparisons(document["comparisons"]))
    if len(models) > 1:
        found.append(_ladder(document))
    return found


def _ladder(document: Mapping[str, Any]) -> TextTable:
    speeds = document["tokens_per_s"]
    first = next(iter(speeds.values()))
    rows = [
        (name, f"{document['models'][name]['scores']['macro_f1']:.3f}", f"{speed:,.0f}", f"{speed / first:.2f}")
        for name, speed in sorted(speeds.items(), key=lambda item: float(item[1]))
    ]
    return "Quality against speed, all rows once", ("model", "macro-F1", "tokens/s", "over the first"), rows


def _scores(document: Mapping[str, Any]) -> TextTable:
    every = {**document["models"], **document.get("baselines", {})}
    shown = [name for name in SHOWN if name in next(iter(every.values()))["scores"]]
    rows = [
        (name, *(with_interval(one["scores"][score], one["intervals"][score]) for score in shown))
        for name, one in every.items()
    ]
    data, bootstrap = document["data"], document["bootstrap"]
    drawn = f", {bootstrap['n_groups']:,} groups by {bootstrap['group_column']}" if bootstrap["group_column"] else ""
    title = f"{data['n_rows']:,} rows of {data['file']}{drawn}; in brackets 95 % intervals"
    return title, ("model", *(SHOWN[name] for name in shown)), rows


def _labels(served: str, measured: Mapping[str, Any]) -> TextTable:
    ranks, intervals = measured["ranking"]["per_class"], measured["intervals"]["per_class"]
    rows = []
    for name, one in measured["scores"]["per_class"].items():
        known = one["support"] > 0  # of a label that no row has, nothing is known
        rows.append(
            (name, f"{one['support']:,}", f"{one['precision']:.3f}", number(one["recall"] if known else None),
             with_interval(one["f1"], intervals[name]) if known else "–", number(ranks[name]["auroc"]),
             number(ranks[name]["auprc"]))
        )  # fmt: skip
    return f"Each label, {served}", ("label", "texts", "precision", "recall", "F1", "AUROC", "AUPRC"), rows


def _probabilities(models: Mapping[str, Any]) -> TextTable:
    rows = []
    for name, one in models.items():
        calibration, selective = one["calibration"], one["selective"]
        at_80 = min(selective["points"], key=lambda point: abs(point["coverage"] - 0.8))
        rows.append(
            (name, f"{calibration['ece_before']:.4f}", f"{calibration['ece']:.4f}", f"{calibration['brier']:.4f}",
             f"{calibration['log_loss']:.4f}", f"{selective['aurc']:.4f}",
             f"{percent(at_80['risk'])} wrong (confidence from {at_80['threshold']:.3f})")
        )  # fmt: skip
    header = ("model", "ECE before T", "ECE", "Brier", "log loss", "AURC", "of the surest 80 %")
    return "Probabilities", header, rows


def _operating_points(reached: Sequence[Mapping[str, Any]]) -> TextTable:
    rows = []
    for one in reached:
        name = one.get("label", "")
        if not one["reached"]:
            rows.append((one["goal"], name, "not reached", f"best {one['best']:.3f}", "", "", ""))
        elif name:
            rows.append(
                (one["goal"], name, f"{one['threshold']:.4f}", _cost(one, "recall"), _cost(one, "precision"),
                 _cost(one, "work_saved"), f"{one['n_given']:,}")
            )  # fmt: skip
        else:
            rows.append((one["goal"], "", f"{one['threshold']:.4f}", "", _cost(one, "accuracy"), "",
                         f"{percent(one['coverage'])} answered"))  # fmt: skip
    header = ("goal", "label", "from", "recall", "precision, accuracy", "work saved (WSS)", "texts")
    return "Operating points, chosen on these rows", header, rows


def _cost(one: Mapping[str, Any], name: str) -> str:
    return with_interval(one[name], one["intervals"][name])


def _slice(column: str, parts: Sequence[Mapping[str, Any]]) -> TextTable:
    rows = [
        (one["value"] or "(empty)", f"{one['n']:,}", with_interval(one["right"], one["interval"]),
         f"{one['macro_f1']:.3f}", f"{one['ece']:.3f}") if "right" in one
        else (one["value"] or "(empty)", f"{one['n']:,}", "too few", "", "")
        for one in parts
    ]  # fmt: skip
    return f"By {column}", ("part", "rows", "right", "macro-F1", "ECE"), rows


def _levels(found: Sequence[Mapping[str, Any]]) -> TextTable:
    shown = [name for name in SHOWN if name in found[0]]
    rows = [(str(one["level"]), str(one["n_labels"]), *(f"{one[name]:.3f}" for name in shown)) for one in found]
    return "By level of the labels", ("level", "labels", *(SHOWN[name] for name in shown)), rows


def _comparisons(found: Sequence[Mapping[str, Any]]) -> TextTable:
    rows = []
    for one in found:
        low, high = one["f1_drop_interval"]
        rows.append(
            (f"{one['candidate']} against {one['reference']}", percent(one["identical"]), points(-one["f1_drop"]),
             f"{points(-high)} to {points(-low)}", f"{one['better']:,}", f"{one['worse']:,}", f"{one['mcnemar_p']:.3g}")
        )  # fmt: skip
    header = ("", "same answer", "macro-F1, points", "95 % interval", "right now", "wrong now", "McNemar p")
    return "Side by side, on the same rows", header, rows
