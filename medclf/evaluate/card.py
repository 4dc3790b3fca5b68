"""The model card of a bundle, its `README.md`: what the model is, what was measured, and its limits."""

from collections.abc import Mapping, Sequence
from typing import Any

from medclf.bundle import Manifest
from medclf.evaluate.metrics import SHOWN
from medclf.evaluate.sections import percent, with_interval


def model_card(manifest: Manifest, measured: Mapping[str, Any] | None = None, *, source: str = "") -> str:
    """Write the card.

    Args:
        manifest: Of the bundle.
        measured: Name of a model -> as `medclf.evaluate.measure` gives it, the one that is served first; None for none.
        source: Which rows it was measured on.

    Returns:
        Markdown with the YAML head that Hugging Face reads.
    """
    parts = [_head(), _about(manifest), _gates(manifest), *_scores(measured or {}, source), _use(), _limits()]
    return "\n".join("\n".join([*part, ""]) for part in parts)


def _head() -> list[str]:
    return ["---", "pipeline_tag: text-classification", "library_name: medclf", "tags: [onnx, medclf]", "---"]


def _about(manifest: Manifest) -> list[str]:
    data = manifest.training.get("data") or {}
    parts = [f"{name}: {part['n_rows']:,} rows of {part['file']}" for name, part in data.items()]
    return [
        "# A text classifier exported by medclf",
        "",
        f"- Labels, in logit order: {', '.join(manifest.labels.names)}",
        f"- Base model: {manifest.training.get('base_model') or 'not recorded'}",
        f"- Data: {'; '.join(parts) or 'not recorded'}",
        f"- The model sees {manifest.max_length} tokens of a text at a time; of longer ones: {manifest.long_text}",
        f"- Temperature: {manifest.temperature:.4g}, folded into the models: their logits are divided already",
        *_thresholds(manifest),
        *_abstention(manifest),
        f"- Models: {', '.join(f'{name} ({model.file})' for name, model in manifest.models.items())}",
    ]


def _thresholds(manifest: Manifest) -> list[str]:
    thresholds = manifest.labels.by_threshold
    if not thresholds:
        return []
    listed = ", ".join(f"{name} {threshold:.4g}" for name, threshold in thresholds.items())
    return [f"- A text is given each label whose probability reaches its threshold: {listed}"]


def _abstention(manifest: Manifest) -> list[str]:
    below = manifest.labels.abstain_below
    return [] if below is None else [f"- A text gets no label where the confidence is below {below:g}: a person looks"]


def _gates(manifest: Manifest) -> list[str]:
    lines = ["## Measured", "", "Details are in `report.html` and `medclf.json`.", ""]
    for precision, model in manifest.models.items():
        if "parity" in model.gates:
            lines.append(f"- {precision} against PyTorch: logits within {model.gates['parity']['max_difference']:.1e}")
        if "quality" in model.gates:
            quality, speed = model.gates["quality"], model.gates["speed"]
            lines.append(
                f"- {precision} against fp32 on {quality['n']} held-out rows: {100 * quality['agreement']:.2f} % the "
                f"same labels, macro-F1 {quality['reference_f1']:.4f} -> {quality['candidate_f1']:.4f}, "
                f"{speed['speedup']:.2f} times the speed"
            )
    return lines


def _scores(measured: Mapping[str, Any], source: str) -> list[list[str]]:
    """What was measured on labelled rows, each model in a table, the labels of the one that is served."""
    if not measured:
        return []
    first = next(iter(measured.values()))
    shown = [name for name in SHOWN if name in first["scores"]]
    head = ("model", *(SHOWN[name] for name in shown), "ECE before temperature", "ECE", "AURC")
    rows = [
        (
            name,
            *(with_interval(one["scores"][score], one["intervals"][score]) for score in shown),
            f"{one['calibration']['ece_before']:.3f}",
            f"{one['calibration']['ece']:.3f}",
            f"{one['selective']['aurc']:.4f}",
        )
        for name, one in measured.items()
    ]
    each = [
        (name, f"{one['support']:,}", percent(one["precision"]), percent(one["recall"] if one["support"] else None),
         with_interval(one["f1"], first["intervals"]["per_class"][name]) if one["support"] else "–")
        for name, one in first["scores"]["per_class"].items()
    ]  # fmt: skip
    note = "In brackets: 95 % intervals (bootstrap). ECE: calibration error. AURC: area under risk against coverage."
    return [
        [f"On {source}. {note}", "", *_markdown(head, rows)],
        _markdown(("label", "texts", "precision", "recall", "F1"), each),
    ]


def _markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [header, ["---"] * len(header), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]


def _use() -> list[str]:
    return [
        "## Use",
        "",
        "```python",
        "from medclf.runtime import Classifier",
        "",
        'classifier = Classifier.load("bundle")',
        'classifier.predict(["Chest pain relieved by nitroglycerin."])',
        "```",
    ]


def _limits() -> list[str]:
    return [
        "## Limits",
        "",
        "Not a medical device. Scores hold for texts like the held-out rows; check the model on your own texts.",
    ]
