"""`medclf-run` gives the answers of the Python runtime to all real texts that training did not see, with a MiniLM.

MEDCLF_BUNDLES names a folder with SET/bundle for each data set; without it, MiniLM is fine-tuned here, for as long as
it takes to answer differently to different texts. `--log-cli-level=info` shows the largest difference of each set.
"""

import json
import logging
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import DATA
from golden_native import NASTY
from native_run import Run, same

from medclf.train.options import TrainOptions
from medclf.train.run import train
from medclf_export.pipeline import ExportOptions, export_bundle
from medclf_export.quality import Budget

logger = logging.getLogger(__name__)
BUNDLES = os.environ.get("MEDCLF_BUNDLES")
LABEL_COLUMNS = {"medabs5": "label", "ade": "label", "hoc": "labels"}  # several labels a text in the last one
N_ROWS = 360  # 252 of them are trained on, 16 a step, twice
ANY = Budget(min_agreement=0.0, max_f1_drop=100.0, min_speedup=0.0, min_rows=1)  # what INT8 costs is not looked at here

pytestmark = [
    pytest.mark.data,
    pytest.mark.slow,
    pytest.mark.skipif(not DATA.is_dir(), reason="the real data is not here (MEDCLF_DATA names its folder)"),
]


@pytest.fixture(scope="module")
def bundle_of(minilm: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    made: dict[str, Path] = {}

    def bundle(name: str) -> Path:
        if BUNDLES:
            return Path(BUNDLES) / name / "bundle"
        if name not in made:
            made[name] = fine_tuned(name, minilm, tmp_path_factory.mktemp(name))
        return made[name]

    return bundle


def fine_tuned(name: str, minilm: Path, folder: Path) -> Path:
    rows = (DATA / name / "train.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    (folder / "rows.jsonl").write_text("".join(random.Random(1).sample(rows, N_ROWS)), encoding="utf-8")
    train(
        TrainOptions(
            folder / "rows.jsonl", label_column=(LABEL_COLUMNS[name],), model=str(minilm), epochs=2, max_length=64,
            learning_rate=3e-4, output=folder / "checkpoint",
        )
    )  # fmt: skip
    export_bundle(
        ExportOptions(folder / "checkpoint", folder / "bundle", quantize="on", max_length=128, budget=ANY)
    )  # longer texts than in training: more is compared
    return folder / "bundle"


@pytest.mark.parametrize("name", LABEL_COLUMNS)
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_the_answers_to_real_texts_are_those_of_python(
    medclf_run: Run, bundle_of: Callable[[str], Path], name: str, precision: str
) -> None:
    rows = [json.loads(line) for line in (DATA / name / "dev.jsonl").read_text(encoding="utf-8").splitlines()]
    texts = [{"text": row["text"]} for row in rows] + [{"text": text} for text in NASTY]
    largest = same(medclf_run, bundle_of(name), precision, texts)
    logger.info("%s, %s: %d texts, equal labels, probabilities within %.1e", name, precision, len(texts), largest)
