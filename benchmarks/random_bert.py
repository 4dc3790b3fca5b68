"""A job folder with random weights of a shape whose pretrained weights are not at hand: for speed, never for labels.

    python benchmarks/random_bert.py --tokenizer FOLDER --output FOLDER [--large]

Writes `checkpoint/` and, with INT8, `bundle/`, as `peers_table.py`, `modes.py` and `startup.py` take them. Labels are
random, so INT8's limits on them are open, and the rows that pass through its gates are random words.
"""

import argparse
import csv
import random
import shutil
from pathlib import Path

import torch
import transformers

from medclf.labels import Labels
from medclf_export.pipeline import ExportOptions, export_bundle
from medclf_export.quality import Budget

LABELS = Labels(("first", "second", "third", "fourth", "fifth"))
LARGE = {"num_hidden_layers": 24, "hidden_size": 1024, "num_attention_heads": 16, "intermediate_size": 4096}
N_ROWS, MOST_WORDS = 40, 120


def make_checkpoint(folder: Path, tokenizer: Path, shape: dict[str, int]) -> None:
    """Random weights, seeded, beside the files of a tokenizer."""
    torch.manual_seed(0)
    config = transformers.BertConfig(**shape)
    config.update(LABELS.config())
    transformers.BertForSequenceClassification(config).save_pretrained(folder)
    fast = transformers.AutoTokenizer.from_pretrained(tokenizer, local_files_only=True)
    fast.model_max_length = config.max_position_embeddings
    fast.save_pretrained(folder)


def make_rows(file: Path, vocabulary: list[str]) -> None:
    """Random words under random labels."""
    chosen = random.Random(0)
    words = sorted(word for word in vocabulary if word.isalpha())
    with file.open("w", encoding="utf-8", newline="") as opened:
        table = csv.writer(opened)
        table.writerow(("text", "label"))
        for _ in range(N_ROWS):
            text = " ".join(chosen.choices(words, k=chosen.randint(3, MOST_WORDS)))
            table.writerow((text, chosen.choice(LABELS.names)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--large", action="store_true", help="the shape of BERT-large, not of BERT-base")
    options = parser.parse_args()
    shutil.rmtree(options.output, ignore_errors=True)
    checkpoint, rows = options.output / "checkpoint", options.output / "rows.csv"
    make_checkpoint(checkpoint, options.tokenizer, LARGE if options.large else {})
    make_rows(rows, list(transformers.AutoTokenizer.from_pretrained(checkpoint).get_vocab()))
    budget = Budget(min_agreement=0.0, max_f1_drop=100.0, min_speedup=0.0, min_rows=N_ROWS)
    export_bundle(ExportOptions(checkpoint, options.output / "bundle", quantize="on", eval_data=rows, budget=budget))


if __name__ == "__main__":
    main()
