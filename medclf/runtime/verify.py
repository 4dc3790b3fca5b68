"""Checks a bundle where it will be used: its manifest, its files, its models and what they answer.

Needs no data and no torch: the manifest records the logits of the texts in `medclf.golden`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medclf.bundle import SCHEMA_VERSION, FileRecord, Manifest, read_manifest, read_verified
from medclf.errors import BundleError
from medclf.golden import TEXTS
from medclf.runtime.classifier import Classifier
from medclf.runtime.opening import TOKENIZER

# Largest difference of a logit, for logits of size 1; larger logits are allowed as much more. fp32: another CPU sums
# in another order, and some 1e-5 come of it; a wrong weight gives 1e-1. INT8: the integer products are exact, but such
# a 1e-5 can carry an activation over to the next of its 255 steps, and a logit by some hundredths with it.
TOLERANCE = {"fp32": 1e-3, "int8": 0.05}


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: What it is, such as a file.
        passed: Whether it is as the manifest says.
        detail: What was found.
    """

    name: str
    passed: bool
    detail: str


def verify(bundle: Path) -> list[Check]:
    """Check a bundle; a fault does not stop the checks that can still be made.

    Args:
        bundle: The folder.

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
        if not damaged & {record.file, TOKENIZER}:
            checks += _model(bundle, manifest, precision)
    return checks


def _unlisted(manifest: Manifest) -> list[str]:
    return [] if TOKENIZER in manifest.files else [TOKENIZER]


def _file(bundle: Path, manifest: Manifest, name: str) -> Check:
    def look() -> str:
        record = FileRecord.of(read_verified(bundle, manifest, name))
        return f"{record.size_bytes:,} bytes, sha256 {record.sha256[:12]}"

    return _check(name, look)


def _model(bundle: Path, manifest: Manifest, precision: str) -> list[Check]:
    record = manifest.models[precision]
    try:
        classifier = Classifier.load(bundle, provider="cpu", precision=precision, threads=1)
    except BundleError as error:
        return [Check(f"{precision} opens", False, str(error))]
    opens = Check(f"{precision} opens", True, f"IR {record.ir_version}, opset {record.opset}")
    with classifier:
        return [opens, _check(f"{precision} golden texts", lambda: _golden(classifier))]


def _golden(classifier: Classifier) -> str:
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
