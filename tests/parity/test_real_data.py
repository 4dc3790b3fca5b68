"""The same checks on real data and a real BERT, where they are there; CI has both."""

import json
from pathlib import Path

import pytest
from conftest import DATA

from medclf.runtime import Classifier
from medclf.tokenizer import TextEncoder
from medclf.train.checkpoint import read_checkpoint
from medclf.train.options import TrainOptions
from medclf.train.run import train
from medclf_export.checkpoint_model import CheckpointModel
from medclf_export.pipeline import ExportOptions, export_bundle
from medclf_export.quality import Budget

pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif(not DATA.is_dir(), reason="the real data is not here (MEDCLF_DATA names its folder)"),
]


def rows(name: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("name", ["medabs5/dev.jsonl", "hoc/dev.jsonl", "codiesp_docs_en/dev.jsonl",
                                  "chip_ctc15_zh/dev.jsonl", "mqp_pairs/dev.jsonl"])  # fmt: skip
def test_token_ids_are_those_of_transformers(minilm: Path, name: str) -> None:
    from transformers import AutoTokenizer

    texts = [row["text"] for row in rows(name)]
    pairs = [row["text_pair"] for row in rows(name)] if "pairs" in name else None
    ours = TextEncoder((minilm / "tokenizer.json").read_text(), max_length=96).encode(texts, pairs)
    tokenizer = AutoTokenizer.from_pretrained(minilm)
    theirs = tokenizer(texts, pairs, truncation=True, max_length=96, padding=False)
    whole = tokenizer(texts, pairs, truncation=False, padding=False)
    assert [one.input_ids.tolist() for one in ours] == theirs["input_ids"]
    assert [one.token_type_ids.tolist() for one in ours] == theirs["token_type_ids"]
    assert [one.n_tokens for one in ours] == [len(ids) for ids in whole["input_ids"]]


@pytest.mark.slow
def test_the_main_job_on_real_notes(minilm: Path, tmp_path: Path) -> None:
    folder, test = DATA / "symptom2disease", DATA / "symptom2disease" / "dev.jsonl"
    train(
        TrainOptions(
            folder / "train.jsonl", test_data=test, model=str(minilm), epochs=4, max_length=96,
            output=tmp_path / "checkpoint",
        )
    )  # fmt: skip
    manifest = export_bundle(
        ExportOptions(tmp_path / "checkpoint", tmp_path / "bundle", quantize="on", budget=Budget(min_agreement=97))
    )
    assert manifest.models["int8"].gates["speed"]["speedup"] > 1

    texts = [row["text"] for row in rows("symptom2disease/dev.jsonl")]
    encoder = TextEncoder((tmp_path / "bundle" / "tokenizer.json").read_text(), max_length=96)
    logits = CheckpointModel(read_checkpoint(tmp_path / "checkpoint")).forward(encoder.pad(encoder.encode(texts)))
    logits /= manifest.temperature  # folded into the graphs, not into the checkpoint's weights
    with Classifier.load(tmp_path / "bundle", precision="fp32") as classifier:
        assert classifier.logits(texts) == pytest.approx(logits, abs=1e-4)
        assert classifier.predict(texts) == [manifest.labels.names[i] for i in logits.argmax(-1)]
    with Classifier.load(tmp_path / "bundle", precision="int8") as classifier:
        alone = [classifier.predict([text])[0] for text in texts]
        assert alone == classifier.predict(texts)  # the neighbours change nothing
