"""The page of `medclf-evaluate`: what a model is worth on these rows, for who must decide whether to use it."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from medclf.evaluate.charts import ladder_chart
from medclf.evaluate.page import page, picture, table
from medclf.evaluate.sections import details, percent, points, score_table, with_interval

WORDS = (
    ("accuracy", "The share of texts that got the right label. Exact match: all labels of a text are right."),
    ("precision", "Of the texts that were given this label, the share that has it. Low: false alarms."),
    ("recall", "Of the texts that have this label, the share that was given it (sensitivity). Low: missed texts."),
    ("F1", "The harmonic mean of precision and recall, 0 to 1."),
    ("macro-F1", "The mean F1 of the labels that occur here, rare ones counting as much as frequent ones."),
    ("weighted F1", "The same with each label counting as often as it occurs."),
    ("micro-F1", "F1 over all labels of all texts together; of one label a text it is the accuracy."),
    ("samples F1", "The example-based F1: of each text by itself, then the mean."),
    ("AUROC, AUPRC", "How well the probability of a label ranks the texts, whatever the threshold. 1 is best; guessing "
     "gives 0.5, and the share of texts with the label."),
    ("95 % interval", "Scores of 1,000 random draws of these rows (bootstrap): other rows like these would mostly give "
     "a score in it. It tells nothing of texts of another kind."),
    ("ECE", "Expected calibration error: how far probabilities are from how often they are right, on average."),
)  # fmt: skip


def evaluation_page(document: Mapping[str, Any]) -> str:
    """Write the page.

    Args:
        document: As `medclf.assess.evaluate` makes it; numbers and names, no text.

    Returns:
        HTML.
    """
    models = document["models"]
    served, *others = models
    sections = [
        "<h1>medclf: evaluation of a text classifier</h1>",
        _headline(document, served),
        "<h2>Scores</h2>",
        score_table({**models, **document.get("baselines", {})}),
        _overlap(document),
        _comparisons(document["comparisons"]),
        _ladder(document),
        f"<h2>In detail: {escape(served)}</h2>{details(served, document['labels'], models[served])}",
        *(
            f"<details><summary><h2 style='display:inline'>In detail: {escape(name)}</h2></summary>"
            f"{details(name, document['labels'], models[name])}</details>"
            for name in others
        ),
        "<h2>The words</h2>" + table(("", ""), WORDS),
        _provenance(document),
    ]
    return page("medclf evaluation", sections)


def _headline(document: Mapping[str, Any], served: str) -> str:
    measured, data = document["models"][served], document["data"]
    scores, intervals = measured["scores"], measured["intervals"]
    right = "exact_match" if "exact_match" in scores else "accuracy"
    what = "all their labels right" if right == "exact_match" else "the right label"
    low, high = intervals[right]
    worst, one = min(
        ((name, one) for name, one in scores["per_class"].items() if one["support"]), key=lambda item: item[1]["f1"],
        default=("", {"f1": 0.0, "precision": 0.0, "recall": 0.0}),
    )  # fmt: skip
    groups = document["bootstrap"]["group_column"]
    return (
        f"<p>Of {data['n_rows']:,} texts of {escape(data['file'])}, <b>{percent(scores[right])} got {what}</b> (95 % "
        f"interval {percent(low)} to {percent(high)}); {_f1(scores)}. The weakest label "
        f"is {escape(worst)}: of the texts that have it {percent(one['recall'])} are found, and "
        f"{percent(one['precision'])} of those that are given it have it. "
        f"{percent(document['truncated']['share'])} of the texts were longer than the model reads.</p>"
        + (f"<p>Intervals draw all rows of a {escape(groups)} together.</p>" if groups else "")
        + "<p>Not a medical device: a label is a guess. These figures hold for texts like these, labelled as these are."
        "</p>"
    )


def _f1(scores: Mapping[str, Any]) -> str:
    micro = f"micro-F1 is <b>{scores['micro_f1']:.3f}</b>, " if "micro_f1" in scores else ""
    return f"{micro}macro-F1 is <b>{scores['macro_f1']:.3f}</b>"


def _overlap(document: Mapping[str, Any]) -> str:
    train = document.get("train_data")
    if train is None:
        return ""
    return (
        f'<p class="note">TF-IDF with logistic regression was fitted on {train["n_rows"]:,} rows of '
        f"{escape(train['file'])}; {train['n_shared']:,} of the rows here have a text that is there too.</p>"
    )


def _comparisons(found: Sequence[Mapping[str, Any]]) -> str:
    if not found:
        return ""
    header = (
        "model", "against", "same answer", "macro-F1, points", "95 % interval", "right now", "wrong now", "McNemar p",
    )  # fmt: skip
    rows = [
        (
            one["candidate"],
            one["reference"],
            percent(one["identical"]),
            points(-one["f1_drop"]),
            f"{points(-one['f1_drop_interval'][1])} to {points(-one['f1_drop_interval'][0])}",
            one["better"],
            one["worse"],
            f"{one['mcnemar_p']:.3g}",
        )
        for one in found
    ]
    return (
        "<h2>Side by side</h2>"
        + table(header, rows)
        + '<p class="note">Points: hundredths of macro-F1, the first model less the second, by paired bootstrap. An '
        "interval that holds 0, or a p over 0.05, is no proof that two models are equal.</p>"
    )


def _ladder(document: Mapping[str, Any]) -> str:
    """Quality against speed, where there is more than one model."""
    models, speeds = document["models"], document["tokens_per_s"]
    if len(models) < 2:
        return ""
    rungs = sorted(speeds, key=lambda name: float(speeds[name]))
    rows = [
        (name, with_interval(models[name]["scores"]["macro_f1"], models[name]["intervals"]["macro_f1"]),
         f"{speeds[name]:,.0f}", f"{speeds[name] / speeds[next(iter(models))]:.2f}")
        for name in rungs
    ]  # fmt: skip
    chart = ladder_chart({name: (speeds[name], models[name]["scores"]["macro_f1"],
                                 models[name]["intervals"]["macro_f1"]) for name in rungs})  # fmt: skip
    return (
        "<h2>Quality against speed</h2>"
        + table(("model", "macro-F1 (95 % interval)", "tokens/s", "over the first"), rows)
        + picture(chart, "Macro-F1 with its 95 % interval against tokens per second")
        + '<p class="note">Speeds are of this run: all rows once, one model after the other, on the machine below. '
        "medclf-bench times models in turns.</p>"
    )


def _provenance(document: Mapping[str, Any]) -> str:
    data = document["data"]
    rows = [
        ("bundle", f"{document['bundle']['name']}, exported {document['bundle']['created']}"),
        ("data", f"{data['file']}, {data['n_rows']:,} rows, SHA-256 {data['sha256'][:16]}"),
        ("CPU", document["cpu"]),
        ("versions", ", ".join(f"{name} {number}" for name, number in document["versions"].items())),
        ("written", document["created"]),
    ]
    return "<h2>What was measured</h2>" + table(("", ""), rows)
