"""Checks a bundle where it will be used: its manifest, its files, its models and what they answer.

Needs no data and no torch: the manifest records the logits of the texts in `medclf.golden`.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from medclf.bundle import SCHEMA_VERSION, FileRecord, Manifest, read_manifest, read_verified
from medclf.errors import BundleError, ProviderError
from medclf.golden import TEXTS
from medclf.runtime.classifier import Classifier
from medclf.runtime.opening import TOKENIZER, read_encoder, read_model
from medclf.runtime.session import Operator, operators

# Largest difference of a logit, for logits of size 1; larger logits are allowed as much more. fp32: another CPU sums
# in another order, and some 1e-5 come of it; a wrong weight gives 1e-1. INT8: the integer products are exact, but such
# a 1e-5 can carry an activation over to the next of its 255 steps, and a logit by some hundredths with it.
TOLERANCE = {"fp32": 1e-3, "int8": 0.05, "fp16": 0.05}
N_SHOWN = 6  # operators in the text of a check
COUNTING = ("int64", "int32", "bool", "")  # of shapes and masks: ONNX Runtime keeps such nodes on the CPU by intent


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: What it is, such as a file.
        passed: Whether it is as the manifest says.
        detail: What was found.
        operators: Of a model: each `operator`, its `provider`, the type of its `output`, and `n`, how many nodes.
    """

    name: str
    passed: bool
    detail: str
    operators: list[dict[str, Any]] = field(default_factory=list)


def verify(bundle: Path, *, provider: str = "cpu") -> list[Check]:
    """Check a bundle; a fault does not stop the checks that can still be made.

    Args:
        bundle: The folder.
        provider: Where its models run, `cpu` or `cuda`; INT8 runs on the CPU in either case.

    Returns:
        Every check, in order.
    """
    try:
        manifest = read_manifest(bundle)
    except BundleError as error:
        return [Check("manifest", False, str(error))]
    labels = manifest.labels
    checks = [Check("manifest", True, f"schema {SCHEMA_VERSION}, {labels.task}, {len(labels)} labels")]
    checks += [_file(bundle, manifest, name) for name in (*manifest.files, *_unlisted(manifest))]
    damaged = {check.name for check in checks if not check.passed}
    for precision, record in manifest.models.items():
        if not damaged & {*record.files, TOKENIZER}:
            checks += _model(bundle, manifest, precision, "cpu" if precision == "int8" else provider)
    return checks


def _unlisted(manifest: Manifest) -> list[str]:
    return [] if TOKENIZER in manifest.files else [TOKENIZER]


def _file(bundle: Path, manifest: Manifest, name: str) -> Check:
    def look() -> str:
        record = FileRecord.of(read_verified(bundle, manifest, name))
        return f"{record.size_bytes:,} bytes, sha256 {record.sha256[:12]}"

    return _check(name, look)


def _model(bundle: Path, manifest: Manifest, precision: str, provider: str) -> list[Check]:
    record = manifest.models[precision]
    try:
        classifier = Classifier.load(bundle, provider=provider, precision=precision, threads=1)
    except (BundleError, ProviderError) as error:
        return [Check(f"{precision} opens", False, str(error))]
    opens = Check(f"{precision} opens", True, f"on {classifier.provider}, IR {record.ir_version}, opset {record.opset}")
    with classifier:
        golden = _check(f"{precision} golden texts", lambda: check_golden(classifier))
    return [opens, golden, _operators(bundle, manifest, precision, provider)]


def _operators(bundle: Path, manifest: Manifest, precision: str, provider: str) -> Check:
    """What ONNX Runtime runs for one text, and whether all of it runs where it was asked to."""
    name, file = f"{precision} operators", manifest.models[precision].file
    try:
        encoder = read_encoder(bundle, manifest)
        model, data = read_model(bundle, manifest, precision)
        batch = encoder.pad(encoder.encode(TEXTS[:1]))
        found = operators(model, batch, data=data, provider=provider, name=str(bundle / file))
    except (BundleError, ProviderError) as error:
        return Check(name, False, str(error))
    rows = [{"operator": one.name, "provider": one.provider, "output": one.output, "n": n}
            for one, n in found.most_common()]  # fmt: skip
    fallen = {one: n for one, n in found.items() if one.provider != provider and one.output not in COUNTING}
    if fallen:
        return Check(name, False, f"not on {provider}: {_listed(fallen)}. Use a provider that runs all of it.", rows)
    return Check(name, True, f"{precision} runs on {provider}: {_listed(found)}", rows)


def _listed(found: Mapping[Operator, int]) -> str:
    """`52 Mul, 36 Add, ... of 318 nodes`."""
    by_name: Counter[str] = Counter()
    for operator, n in found.items():
        by_name[operator.name] += n
    shown = ", ".join(f"{n} {name}" for name, n in by_name.most_common(N_SHOWN))
    return f"{shown}{', ...' if len(by_name) > N_SHOWN else ''} ({by_name.total()} nodes)"


def check_golden(classifier: Classifier) -> str:
    """Hold the answers of an open model against those at export.

    Args:
        classifier: The model.

    Returns:
        What was found, for people.

    Raises:
        BundleError: The answers differ by more than rounding.
    """
    precision = classifier.precision
    recorded = np.array(classifier.manifest.golden.get(precision, []), dtype=np.float32)
    expected = (len(TEXTS), len(classifier.labels))
    if recorded.shape != expected:
        raise BundleError(
            f"the manifest records logits of shape {list(recorded.shape)}, expected {list(expected)}: it was written "
            "by another version of medclf. Export again."
        )
    (answers,) = classifier.classify_windows([(TEXTS, None)], ahead=False)
    difference = float(np.abs(answers.logits - recorded).max())
    bound = TOLERANCE[precision] * max(1.0, float(np.abs(recorded).max()))
    if difference > bound:
        raise BundleError(
            f"logits differ by up to {difference:.2g} from those at export, at most {bound:.2g} is allowed: this "
            "machine or its onnxruntime computes something else. Export again here, and compare."
        )
    return f"logits differ by at most {difference:.2g} from those at export, {bound:.2g} is allowed"


def _check(name: str, look: Callable[[], str]) -> Check:
    try:
        return Check(name, True, look())
    except BundleError as error:
        return Check(name, False, str(error))
