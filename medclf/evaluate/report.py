"""`report.html`: what was measured about a bundle, on one page that needs no network.

Numbers and label names only; no text of the data is here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

from medclf.bundle import Manifest
from medclf.evaluate.measure import Rows, measure
from medclf.evaluate.metrics import SHOWN
from medclf.evaluate.page import page, table
from medclf.evaluate.sections import details, score_table
from medclf.labels import Floats, Targets


@dataclass(frozen=True)
class Evaluation:
    """What the models of a bundle said on held-out rows.

    Attributes:
        source: Which rows they are.
        measured: Precision -> as `medclf.evaluate.measure` gives it, the one that is served first.
    """

    source: str
    measured: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @classmethod
    def of(cls, manifest: Manifest, source: str, label_ids: Targets, logits: Mapping[str, Floats]) -> "Evaluation":
        """Measure the models of a bundle.

        Args:
            manifest: Of the bundle.
            source: Which rows they are.
            label_ids: int64 [rows] or bool [rows, labels]; what is right.
            logits: Precision -> float32 [rows, labels].

        Returns:
            The evaluation; INT8 first, where there is one.
        """
        rows, ordered = Rows(label_ids), sorted(logits, key=lambda precision: precision != "int8")
        temperature = manifest.temperature
        return cls(
            source,
            {name: measure(manifest.labels, logits[name], rows, temperature=temperature) for name in ordered},
        )


def report(manifest: Manifest, evaluation: Evaluation | None) -> str:
    """Write the page.

    Args:
        manifest: Of the bundle.
        evaluation: What its models said on held-out rows; None leaves those sections out.

    Returns:
        HTML.
    """
    sections = [_head(manifest), _training(manifest)]
    if evaluation is not None:
        sections.append(_held_out(manifest, evaluation))
    sections += [_int8(manifest), _parity(manifest), _limits()]
    return page("medclf report", sections)


def _head(manifest: Manifest) -> str:
    rows = [
        ("Labels", ", ".join(manifest.labels.names)),
        ("Base model", manifest.training.get("base_model") or "not recorded"),
        ("Most tokens of a row of the model", manifest.max_length),
        ("Longer texts", str(manifest.long_text)),
        ("Temperature, folded into the models", manifest.temperature),
        ("Exported", manifest.created),
        ("Versions", ", ".join(f"{name} {number}" for name, number in manifest.versions.items())),
    ]
    models = [
        (precision, model.file, f"opset {model.opset}, IR {model.ir_version}")
        for precision, model in manifest.models.items()
    ]
    thresholds = manifest.labels.by_threshold
    return (
        f"<h1>medclf: report of a text classifier</h1>{table(('', ''), rows)}{table(('model', 'file', ''), models)}"
        + (table(("label", "given from this probability on"), thresholds.items()) if thresholds else "")
    )


def _training(manifest: Manifest) -> str:
    metrics: dict[str, Any] = manifest.training.get("metrics") or {}
    found = [
        (part, name, one)
        for part, by_model in metrics.items()
        if isinstance(by_model, dict)
        for name, one in by_model.items()
        if isinstance(one, dict) and "macro_f1" in one
    ]
    if not found:
        return ""
    names = [name for name in SHOWN if name in found[0][2]]
    rows = [(part, name, one["n"], *(one[score] for score in names)) for part, name, one in found]
    return "<h2>At training</h2>" + table(("part", "model", "rows", *(SHOWN[name] for name in names)), rows)


def _held_out(manifest: Manifest, evaluation: Evaluation) -> str:
    return (
        f'<h2>On held-out rows</h2><p class="note">Rows: {escape(evaluation.source)}.</p>'
        + score_table(evaluation.measured)
        + "".join(
            f"<h2>On held-out rows, {name}</h2>{details(name, manifest.labels.names, measured)}"
            for name, measured in evaluation.measured.items()
        )
    )


def _int8(manifest: Manifest) -> str:
    """The certificate of INT8, or why there is none."""
    model = manifest.models.get("int8")
    if model is None:
        reason = manifest.refused.get("int8")
        return "" if reason is None else f"<h2>No INT8 model</h2><p>{escape(reason)}</p>"
    quality, speed, batch = (model.gates[name] for name in ("quality", "speed", "batch_invariance"))
    low, high = quality["f1_drop_interval"]
    limits, errors, cpu = quality["limits"], quality["calibration_error"], speed["cpu"]
    rows = [
        ("rows", f"{quality['n']:,} of: {quality['rows']}", ""),
        (
            "labels in common with fp32",
            f"{100 * quality['agreement']:.2f} %",
            f"at least {limits['min_agreement']:g} %",
        ),
        (
            "rows with the same label, or whole set of labels",
            f"{100 * quality.get('identical', quality['agreement']):.2f} %",
            "",
        ),
        ("macro-F1, fp32", quality["reference_f1"], ""),
        ("macro-F1, INT8", quality["candidate_f1"], ""),
        (
            "drop of macro-F1, points",
            f"{quality['f1_drop']:.2f} (95 % interval {low:.2f} to {high:.2f}, paired bootstrap)",
            f"at most {limits['max_f1_drop']:g}",
        ),
        ("right with fp32, wrong with INT8", quality["worse"], ""),
        ("wrong with fp32, right with INT8", quality["better"], ""),
        ("exact McNemar test, p", quality["mcnemar_p"], ""),
        ("calibration error, fp32", errors["fp32"], ""),
        ("calibration error, INT8", errors["int8"], ""),
        ("largest difference of a logit", quality["max_logit_difference"], ""),
        ("largest difference of a probability", quality["max_probability_difference"], ""),
        ("a text alone against in a batch, logits", f"{batch['max_difference']:.1e}", f"at most {batch['limit']:.0e}"),
        ("linear layers kept in fp32", _kept(quality), ""),
        ("speed over fp32", f"{speed['speedup']:.2f}", f"at least {speed['limit']:g}"),
        ("measured on", f"{cpu['name']} ({', '.join(cpu['features']) or 'features unknown'})", ""),
    ]
    return "<h2>Certificate of INT8</h2>" + table(("measured", "value", "limit"), rows) + _flips(quality["flips"])


def _kept(quality: Mapping[str, Any]) -> str:
    kept = ", ".join(quality["fp32_linears"]) or "none"
    return f"{kept} (chosen on the same rows, as they are few)" if quality["same_rows_chose"] else kept


def _flips(flips: Sequence[Mapping[str, Any]]) -> str:
    """What changed from fp32 to INT8, by label."""
    if not flips:
        return "<p>No label changed from fp32 to INT8.</p>"
    return "<h3>Labels that changed from fp32 to INT8</h3>" + table(
        tuple(flips[0]), [tuple(one.values()) for one in flips]
    )


def _parity(manifest: Manifest) -> str:
    model = manifest.models.get("fp32")
    if model is None:
        return ""
    parity, batch = model.gates["parity"], model.gates["batch_invariance"]
    rows = [(name, f"{difference:.1e}") for name, difference in parity["shapes"].items()]
    return (
        "<h2>fp32 against PyTorch</h2>"
        f"<p>Largest difference of a logit: {parity['max_difference']:.1e} (at most {parity['limit']:.0e}); the same "
        f"label for all {parity['n_texts']} inputs. A text alone against the same text in a batch: "
        f"{batch['max_difference']:.1e} (at most {batch['limit']:.0e}).</p>" + table(("inputs", "difference"), rows)
    )


def _limits() -> str:
    return (
        "<h2>Limits</h2><p>Not a medical device. Scores hold for texts like the held-out rows; check the model on your "
        "own texts before you rely on it, and again when they change.</p>"
    )
