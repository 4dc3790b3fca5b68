"""Models that the exporter would not write: other inputs, properties that lie; and an ONNX Runtime that is too old."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from medclf.errors import BundleError, BundleVersionError, MedclfError, ProviderError
from medclf.native import NativeClassifier

Change = Callable[[str], str | None]
NORMALIZER = {"clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": True}
OLD_RUNTIME = """
static const void* get_api(unsigned version) { (void)version; return 0; }
static const char* get_version(void) { return "1.16.3"; }
static const struct { const void* (*api)(unsigned); const char* (*version)(void); } base = {get_api, get_version};
const void* OrtGetApiBase(void) { return &base; }
"""


def changed(bundle: Path, target: Path, key: str, change: Change) -> Path:
    """The fp32 model with one property changed, or removed where the change gives None."""
    import onnx

    model = onnx.load(bundle / "onnx" / "model.onnx")
    props = {prop.key: prop.value for prop in model.metadata_props}
    value = change(props.pop(key))
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, props if value is None else {**props, key: value})
    onnx.save(model, target)
    return target


@pytest.mark.parametrize(
    ("key", "change", "error", "message"),
    [
        ("medclf.schema_version", lambda v: "2", BundleVersionError, "has another schema version than 1"),
        ("medclf.schema_version", lambda v: None, BundleError, "carries no medclf.schema_version"),
        ("medclf.task", lambda v: "regression", BundleError, "the task is not known"),
        ("medclf.labels", lambda v: '["a", "b"]', BundleError, "gives 3 logits and names 2 labels"),
        ("medclf.labels", lambda v: '["a", "b", "b"]', BundleError, "label names repeat"),
        ("medclf.labels", lambda v: '["a", "b", 3]', BundleError, "expected a string"),
        ("medclf.labels", lambda v: "[", BundleError, "a medclf property is damaged"),
        ("medclf.thresholds", lambda v: "[0.5]", BundleError, "there is not one threshold for each label"),
        ("medclf.abstain_below", lambda v: "2", BundleError, "abstain_below is not a probability"),
        ("medclf.abstain_below", lambda v: '"x"', BundleError, "a medclf property is damaged"),
        ("medclf.max_length", lambda v: "2", BundleError, "max_length is 2, at least 3 tokens are needed"),
        ("medclf.max_length", lambda v: "many", BundleError, "a medclf property is damaged"),
        ("medclf.long_text", lambda v: "guess", BundleError, "long_text is nothing that this medclf knows"),
        ("medclf.vocabulary", lambda v: None, BundleError, "carries no medclf.vocabulary"),
        ("medclf.vocabulary", lambda v: "a\nb", BundleError, "has no unknown token"),
        ("medclf.vocabulary", lambda v: v.replace("[CLS]", "[cls]"), BundleError, r"has no \[CLS\]"),
        ("medclf.normalizer", lambda v: "{}", BundleError, "field 'lowercase' is missing"),
        ("medclf.wordpiece", lambda v: v.replace("100", "-1"), BundleError, "max_input_chars_per_word is below 0"),
    ],
)
def test_a_property_that_lies(
    tiny_bundle: Path, library: Path, tmp_path: Path, key: str, change: Change, error: type[MedclfError], message: str
) -> None:
    model = changed(tiny_bundle, tmp_path / "model.onnx", key, change)
    with pytest.raises(error, match=message):
        NativeClassifier.load(model, library=library)


def test_one_file_carries_abstention(tiny_bundle: Path, library: Path, tmp_path: Path, texts: list[str]) -> None:
    never = changed(tiny_bundle, tmp_path / "never.onnx", "medclf.abstain_below", lambda v: None)
    always = changed(tiny_bundle, tmp_path / "always.onnx", "medclf.abstain_below", lambda v: "1")
    with NativeClassifier.load(never, library=library) as classifier:
        assert None not in classifier.predict(texts)
    with NativeClassifier.load(always, library=library) as classifier:
        assert classifier.classify(texts).abstained.all()


def test_token_ids_that_the_model_does_not_have(tiny_bundle: Path, library: Path, tmp_path: Path) -> None:
    longer = "\n".join(f"w{i}" for i in range(5_000))  # ids far outside the embeddings
    model = changed(tiny_bundle, tmp_path / "model.onnx", "medclf.vocabulary", lambda v: f"{v}\n{longer}")
    with (
        NativeClassifier.load(model, library=library) as classifier,
        pytest.raises(ProviderError, match=r"on a batch of 1 x 3 tokens: ONNX Runtime .* failed with code"),
    ):
        classifier.predict(["w4999"])


@pytest.mark.parametrize("lowercase", [True, False])
@pytest.mark.parametrize("strip", [None, True, False])
def test_accents_are_stripped_as_the_flags_say(
    tiny_bundle: Path, library: Path, tmp_path: Path, lowercase: bool, strip: bool | None
) -> None:
    flags = json.dumps({**NORMALIZER, "lowercase": lowercase, "strip_accents": strip})
    model = changed(tiny_bundle, tmp_path / "model.onnx", "medclf.normalizer", lambda v: flags)
    with NativeClassifier.load(model, library=library) as classifier:
        same = classifier.encode("bá").tolist() == classifier.encode("ba").tolist()
    assert same == (lowercase if strip is None else strip)


def test_a_model_without_token_types(tiny_bundle: Path, library: Path, tmp_path: Path, texts: list[str]) -> None:
    import onnx

    model = onnx.load(tiny_bundle / "onnx" / "model.onnx")
    kept = [one for one in model.graph.input if one.name != "token_type_ids"]
    del model.graph.input[:]
    model.graph.input.extend(kept)
    model.graph.node.insert(0, onnx.helper.make_node("Sub", ["input_ids", "input_ids"], ["token_type_ids"]))
    onnx.save(model, tmp_path / "model.onnx")
    with (
        NativeClassifier.load(tmp_path / "model.onnx", library=library) as fewer,
        NativeClassifier.load(tiny_bundle, precision="fp32", library=library) as whole,
    ):
        assert fewer.predict_proba(texts) == pytest.approx(whole.predict_proba(texts), abs=1e-6)


def rename(model: Path, target: Path, old: str, new: str) -> Path:
    target.write_bytes(model.read_bytes().replace(old.encode(), new.encode()))
    return target


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("attention_mask", "attention_musk", "has other inputs than input_ids, attention_mask"),
        ("logits", "logots", r"has no output logits \[batch, labels\]"),
    ],
)
def test_other_names(tiny_bundle: Path, library: Path, tmp_path: Path, old: str, new: str, message: str) -> None:
    model = rename(tiny_bundle / "onnx" / "model.onnx", tmp_path / "model.onnx", old, new)
    with pytest.raises(BundleError, match=message):
        NativeClassifier.load(model, library=library)


def test_a_file_that_is_no_model(library: Path, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"not a model")
    with pytest.raises(BundleError, match="cannot be opened by ONNX Runtime"):
        NativeClassifier.load(tmp_path / "model.onnx", library=library)


def test_an_old_onnx_runtime(native_build: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    if not shutil.which("cc"):
        pytest.skip("cc is missing")
    (tmp_path / "old.c").write_text(OLD_RUNTIME)
    subprocess.run(["cc", "-shared", "-fPIC", tmp_path / "old.c", "-o", tmp_path / "old.so"], check=True)
    command = [native_build / "native" / "medclf-run", tiny_bundle, "--runtime", tmp_path / "old.so"]
    done = subprocess.run(command, input="", capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "ONNX Runtime 1.16.3 is too old: 1.19 or later is needed" in done.stderr
