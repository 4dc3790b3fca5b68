"""What the native tests compare with: tokenizers, nasty texts, and a tiny bundle with its answers.

    python tests/golden_native.py

writes `native/tests/golden`, which ctest reads without Python. The answers are those of the Python runtime;
`tests/native/test_golden.py` makes sure that it still gives them.
"""

import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conftest import LABELS, SPECIAL, WORDS, bert_config, labelled_rows, write_csv, write_tokenizer
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from medclf.golden import TEXTS
from medclf.labels import Labels
from medclf.tokenizer import TextEncoder

GOLDEN = Path(__file__).resolve().parents[1] / "native" / "tests" / "golden"
Ids = list[tuple[int, int, list[int]]]  # tokens before truncation, tokens of the first text, ids

LETTERS = [chr(c) for c in range(33, 127)]
AFFIXES = ["card", "##io", "##logy", "neuro", "pain", "##s", "naive", "ecg", "ST", "Pain", "µg", "é", "##é", "中", "心"]
NASTY = [
    "", " ", "\t\r\n\u00a0", "Crohn's naïve α-TNF µg/mL μg 38.6 °C ≥ 5 × 10⁹", "[SEP] [CLS] [PAD] [UNK] [MASK]",
    "胸痛 患者chest", "심장 통증", "Şahin İstanbul ıI Łódź ẞß ſt ﬁ", "ΣΊΣΥΦΟΣ ς", "й ё Ё", "كِتَاب שָׁלוֹם", "क्षि प्रि ไทย",
    "e\u0301\u0323 e\u0323\u0301 \u302e\u1b44a", "a\u200bb\u00adc\ufeffd\u2028e\u2060", "\u0000a\u0001b\u007fc\u0085d",
    "😀👩\u200d⚕️🇩🇪", "𝐀𝔅", "x" * 99, "x" * 100, "x" * 101, "é" * 100, "é" * 101, "e\u0301" * 101, "İ" * 100,
    "##io card##io cardio cardiology", "--- ... ‘’“”—–·¿ $ ^ ` ~ + < = >", "[MASK",
    "\ud7ff\ue000\U000f0000\U0010ffff\ufffd\ufffe", "A" * 3000, "pain " * 500, "ǅ ǆ ȺⱥᲀᲁꙊ",
    "\u1e9b\u0323 \u0f73\u0f75\u0f81",
]  # fmt: skip


@dataclass(frozen=True)
class Setup:
    """A tokenizer for both sides."""

    vocabulary: tuple[str, ...] = (*SPECIAL, *LETTERS, *(f"##{c}" for c in LETTERS), *AFFIXES, *WORDS)
    clean_text: bool = True
    handle_chinese_chars: bool = True
    strip_accents: bool = True
    lowercase: bool = True
    max_length: int = 1 << 20

    def options(self, *, pairs: bool) -> str:
        flags = {name: getattr(self, name) for name in ("clean_text", "handle_chinese_chars", "strip_accents")}
        rest = {"lowercase": self.lowercase, "max_length": self.max_length, "pairs": pairs}
        return json.dumps({"vocabulary": "\n".join(self.vocabulary), **flags, **rest})

    def encoder(self) -> TextEncoder:
        ids = {token: i for i, token in enumerate(self.vocabulary)}
        tokenizer = Tokenizer(models.WordPiece(ids, unk_token="[UNK]"))
        tokenizer.normalizer = normalizers.BertNormalizer(
            clean_text=self.clean_text,
            handle_chinese_chars=self.handle_chinese_chars,
            strip_accents=self.strip_accents,
            lowercase=self.lowercase,
        )
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        tokenizer.post_processor = processors.BertProcessing(("[SEP]", ids["[SEP]"]), ("[CLS]", ids["[CLS]"]))
        tokenizer.add_special_tokens(list(SPECIAL))
        return TextEncoder(tokenizer.to_str(), max_length=self.max_length)


UNCASED, CASED = Setup(), Setup(strip_accents=False, lowercase=False)
SETUPS = {
    "uncased": UNCASED,
    "cased": CASED,
    "lower case with accents": Setup(strip_accents=False),
    "accents stripped, cased": Setup(lowercase=False),
    "as it is": Setup(clean_text=False, handle_chinese_chars=False),
}


def expected(setup: Setup, texts: Sequence[str], pairs: Sequence[str] | None = None) -> Ids:
    """The ids that the C++ tokenizer must give."""
    return [
        (one.n_tokens, int((one.token_type_ids == 0).sum()), one.input_ids.tolist())
        for one in setup.encoder().encode(texts, pairs)
    ]


def tokenizer_golden() -> list[dict[str, Any]]:
    """Ids of nasty texts for each tokenizer; texts are hexadecimal, as some are no UTF-8."""
    parts = []
    broken = [b"a\xffb", b"\xe2\x82", b"pain\xed\xa0\x80\xf0\x9f\x98", b"\xc3\xc3\xa9"]
    for setup in (*SETUPS.values(), Setup(max_length=9), Setup(max_length=3)):
        texts = [*(text.encode() for text in NASTY if len(text) < 200), *broken]
        decoded = [text.decode("utf-8", "replace") for text in texts]
        rows = [row(*one, text) for one, text in zip(expected(setup, decoded), texts, strict=True)]
        seconds = list(reversed(texts))
        pairs = expected(setup, decoded, list(reversed(decoded)))
        rows += [row(*one, text, pair) for one, text, pair in zip(pairs, texts, seconds, strict=True)]
        parts.append({"options": json.loads(setup.options(pairs=False)), "rows": rows})
    return parts


def row(n_tokens: int, n_first: int, ids: list[int], text: bytes, pair: bytes | None = None) -> dict[str, Any]:
    """One line of the golden file."""
    second = {} if pair is None else {"pair": pair.hex()}
    return {"text": text.hex(), **second, "ids": ids, "n_first": n_first, "n_tokens": n_tokens}


def golden_texts() -> list[str]:
    """Texts for the tiny bundle, some over its length."""
    return [*TEXTS, *(one["text"] for one in labelled_rows(60, seed=3)), " ".join(WORDS)]


def write_bundle(folder: Path) -> None:
    """Export a tiny BERT and keep what runners read; and one model for several labels."""
    import onnx

    from medclf_export.pipeline import ExportOptions, export_bundle
    from medclf_export.quality import Budget

    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        (work / "checkpoint").mkdir()
        write_checkpoint(work / "checkpoint")
        rows = write_csv(work / "held_out.csv", labelled_rows(120, seed=5))
        budget = Budget(min_agreement=90.0, max_f1_drop=10.0, min_speedup=0.0)
        options = ExportOptions(work / "checkpoint", work / "bundle", quantize="on", eval_data=rows, budget=budget)
        export_bundle(options)
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(work / "bundle" / "onnx", folder / "onnx")
        for name in ("medclf.json", "tokenizer.json"):
            shutil.copy(work / "bundle" / name, folder)
    model = onnx.load(folder / "onnx" / "model.onnx")
    changes = {"medclf.task": "multi_label_classification", "medclf.thresholds": "[0.3, 0.5, 0.9]"}
    for prop in model.metadata_props:
        prop.value = changes.get(prop.key, prop.value)
    onnx.save(model, GOLDEN / "several_labels.onnx")


def write_checkpoint(folder: Path) -> None:
    """A classifier of one layer, 16 wide, whose random weights give every label about as often."""
    import torch
    from transformers import BertForSequenceClassification

    write_tokenizer(folder)
    torch.manual_seed(7)
    shape = {"hidden_size": 16, "num_hidden_layers": 1, "intermediate_size": 32}
    model = BertForSequenceClassification(bert_config(**shape, **Labels(LABELS).config())).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(10.0) if parameter.ndim > 1 else parameter.add_(0.1 * torch.randn_like(parameter))
        encoder = TextEncoder((folder / "tokenizer.json").read_text(), max_length=64)
        batch = encoder.pad(encoder.encode([one["text"] for one in labelled_rows(90, seed=9)])).feed()
        pooled = model.bert(**{name: torch.from_numpy(value) for name, value in batch.items()}).pooler_output
        scores = pooled @ model.classifier.weight.T
        model.classifier.weight.div_(scores.std(0)[:, None])
        model.classifier.bias.copy_(-(scores / scores.std(0)).mean(0))
    model.save_pretrained(folder)


def answers(bundle: Path) -> list[dict[str, Any]]:
    """What the Python runtime answers, with each model of the bundle."""
    from medclf.runtime import Classifier

    found = []
    for precision in ("fp32", "int8"):
        with Classifier.load(bundle, provider="cpu", precision=precision, threads=1) as classifier:
            for pairs in (None, list(reversed(golden_texts()))):
                part = classifier.classify(golden_texts(), pairs)
                arrays = {"logits": part.logits, "probabilities": part.probabilities, "n_tokens": part.n_tokens}
                rows = {name: array.ravel().tolist() for name, array in arrays.items()}
                found.append({"precision": precision, "pairs": pairs or [], "labels": part.labels, **rows})
    return found


def main() -> None:
    """Write all of it."""
    GOLDEN.mkdir(parents=True, exist_ok=True)
    (GOLDEN / "tokenizer.json").write_text(json.dumps(tokenizer_golden()) + "\n", encoding="utf-8")
    write_bundle(GOLDEN / "bundle")
    document = {"texts": golden_texts(), "answers": answers(GOLDEN / "bundle")}
    (GOLDEN / "answers.json").write_text(json.dumps(document) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
