"""A trained model that teaches a smaller one: what it must share with it, and its answers."""

import json
import logging
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from medclf.data.leakage import leaks_text
from medclf.data.tables import LabelledTexts
from medclf.data.unlabelled import read_texts
from medclf.errors import CheckpointError, DataError
from medclf.labels import Floats, Labels
from medclf.train.checkpoint import read_checkpoint
from medclf.train.dataset import Collate, EncodedTexts
from medclf.train.fine_tune import Job
from medclf.train.model import Start, encoder_config, load_classifier
from medclf.train.options import TrainOptions
from medclf.train.parts import Parts
from medclf.train.scoring import Outputs

BATCHES = 4  # of training, in one of the teacher, which needs no gradients
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Teacher:
    """A classifier that was trained before.

    Attributes:
        folder: Its checkpoint.
        model: A sequence classifier of transformers, in evaluation mode.
        tokenizer_json: Contents of its `tokenizer.json`.
        sha256: Hash of its weights; a resume must have the same.
    """

    folder: Path
    model: Any
    tokenizer_json: str
    sha256: str

    def check_student(self, start: Start) -> None:
        """Refuse a student that reads other tokens: the teacher would be asked about another text.

        Args:
            start: The student.

        Raises:
            CheckpointError: Their tokenizers differ.
        """
        if _tokens(start.tokenizer_json) != _tokens(self.tokenizer_json):
            raise CheckpointError(
                f"teacher {self.folder}: its tokenizer is not that of the student. Cut the student out of the teacher "
                "with --layers or --hidden-size, or name a --model with the same vocabulary."
            )

    def logits(self, texts: EncodedTexts, collate: Collate, options: TrainOptions, device: torch.device) -> Floats:
        """Answer every example once, in batches of like length.

        Args:
            texts: Of a part.
            collate: Makes a batch.
            options: Of the run.
            device: Where the teacher runs.

        Returns:
            float32 [examples, labels], in the order of the part.
        """
        loader = DataLoader(texts.by_length(), BATCHES * options.batch_size, collate_fn=collate)
        model = self.model.to(device)
        found = []
        with torch.inference_mode():
            for batch in loader:
                inputs = {name: tensor.to(device) for name, tensor in batch.items() if name != "labels"}
                found.append(model(**inputs).logits.float().cpu().numpy())
        return texts.restore(np.concatenate(found))


def load_teacher(options: TrainOptions, labels: Labels) -> Teacher | None:
    """Load the teacher that the options name.

    Args:
        options: Of the run.
        labels: The label contract of the table.

    Returns:
        The teacher, or None where none is named.

    Raises:
        CheckpointError: It is no checkpoint of a BERT-like classifier, has other labels, or takes shorter texts.
    """
    if options.teacher is None:
        return None
    checkpoint = read_checkpoint(options.teacher)
    if (checkpoint.labels.names, checkpoint.labels.task) != (labels.names, labels.task):
        raise CheckpointError(
            f"teacher {options.teacher} has other labels than the training table: {_shown(checkpoint.labels)} against "
            f"{_shown(labels)}. Teach with a checkpoint that was trained on the same labels."
        )
    config = encoder_config(str(options.teacher), local=True)
    if options.max_length > config.max_position_embeddings:
        raise CheckpointError(
            f"teacher {options.teacher} has {config.max_position_embeddings} positions, but max_length is "
            f"{options.max_length}. Lower --max-length."
        )
    model, new = load_classifier(str(options.teacher), config, local=True)
    if new:
        raise CheckpointError(f"teacher {options.teacher}: weights of its head are missing ({new[0]}). Train it first.")
    weights = options.teacher / "model.safetensors"
    tokenizer_json = (options.teacher / "tokenizer.json").read_text(encoding="utf-8")
    return Teacher(options.teacher, model.eval(), tokenizer_json, sha256(weights.read_bytes()).hexdigest())


@dataclass(frozen=True)
class Lesson:
    """What a teacher gives to a run.

    Attributes:
        train: The training part with the teacher's answers; after it, the texts that have no label.
        outputs: `validation` and `test` -> its logits, to be scored beside the student's.
        hashes: Of the teacher, and of the texts without labels.
    """

    train: EncodedTexts
    outputs: dict[str, Outputs]
    hashes: dict[str, str]


def give_lesson(teacher: Teacher, job: Job, parts: Parts) -> Lesson:
    """Ask the teacher about every text, once; its answers are kept in memory.

    Args:
        teacher: The teacher.
        job: What will be fine-tuned on what.
        parts: Of the data.

    Returns:
        The lesson.

    Raises:
        DataError: The table of texts without labels cannot be used.
    """
    options, encoder, device = job.options, job.start.encoder, job.arguments.device
    collate, datasets = Collate(encoder), dict(job.datasets)
    hashes = {"teacher": teacher.sha256}
    unlabelled = read_unlabelled(options, parts)
    if unlabelled is not None:
        hashes["unlabelled"] = unlabelled.sha256
        datasets["train"] = datasets["train"].followed_by(encoder.encode(unlabelled.texts, unlabelled.pairs))
    log.info("asking the teacher about %d texts", sum(map(len, datasets.values())))
    answers = {name: teacher.logits(part, collate, options, device) for name, part in datasets.items()}
    train = datasets.pop("train")
    train.teacher_logits = answers["train"]
    outputs = {name: Outputs(answers[name], part.targets, part.pool) for name, part in datasets.items()}
    return Lesson(train, outputs, hashes)


def read_unlabelled(options: TrainOptions, parts: Parts) -> LabelledTexts | None:
    """Read the texts on which there is the teacher's answer alone.

    Args:
        options: Of the run.
        parts: Of the data.

    Returns:
        The texts, without labels; None where no table is named.

    Raises:
        DataError: The table cannot be read, or shares texts with the validation or test part.
    """
    path = options.unlabelled
    if path is None:
        return None
    texts, pairs = read_texts(path, options.columns, encoding=options.encoding)
    rows = list(range(1, len(texts) + 1))
    found = LabelledTexts(path, sha256(path.read_bytes()).hexdigest(), texts, pairs, labels=[], rows=rows)
    for name, part in (("validation", parts.validation), ("test", parts.test)):
        shared = leaks_text(found, part)
        if shared and not options.allow_leakage:
            raise DataError(
                f"unlabelled and {name} must not share anything, but share {shared}. Scores on them would be too good. "
                "Remove these rows from one of the two, or pass --allow-leakage."
            )
    return found


def _tokens(tokenizer_json: str) -> tuple[Any, ...]:
    """Give what decides which ids a text has."""
    document = json.loads(tokenizer_json)
    return document["model"]["vocab"], document.get("normalizer"), document.get("pre_tokenizer")


def _shown(labels: Labels) -> str:
    kind = "several" if labels.multi_label else "one"
    names = ", ".join(map(repr, labels.names[:5])) + (", ..." if len(labels) > 5 else "")
    return f"{len(labels)} ({names}), {kind} a text"
