"""The bundle's manifest, `medclf.json`: what is in the folder, and what was proved about it.

Written by `medclf_export.pipeline`, read by every runtime; `docs/bundle.md` is the normative text. Stands on the
standard library: verifying a bundle needs nothing else.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from medclf.errors import BundleError, BundleVersionError, IntegrityError, OptionError
from medclf.labels import Labels
from medclf.long_text import TRUNCATE, LongText

MANIFEST = "medclf.json"
SCHEMA_VERSION = 1

Precision = Literal["fp32", "int8", "fp16"]


@dataclass(frozen=True)
class FileRecord:
    """What a file must be to be opened.

    Attributes:
        sha256: Hash of its bytes, in hexadecimal.
        size_bytes: Its size.
    """

    sha256: str
    size_bytes: int

    @classmethod
    def of(cls, data: bytes) -> "FileRecord":
        """Describe the bytes of a file."""
        return cls(hashlib.sha256(data).hexdigest(), len(data))

    @classmethod
    def of_file(cls, path: Path) -> "FileRecord":
        """Describe a file without holding it in memory."""
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while block := file.read(2**20):
                digest.update(block)
        return cls(digest.hexdigest(), path.stat().st_size)


@dataclass(frozen=True)
class ModelRecord:
    """One ONNX file and what was proved about it.

    Attributes:
        file: Its path in the bundle, with forward slashes.
        opset: Version of the standard operators.
        ir_version: Version of the file format.
        gates: Name of each gate that it passed -> what was measured.
        data_file: The file of its weights, where they are too large to be inside.
        static_shapes: Whether every shape in the graph follows from those of its inputs, as a CUDA graph needs; a graph
            that removes padding has shapes that follow from the mask.
    """

    file: str
    opset: int
    ir_version: int
    gates: dict[str, Any]
    data_file: str | None = None
    static_shapes: bool = False

    @classmethod
    def read(cls, record: Mapping[str, Any]) -> "ModelRecord":
        """Read a record; fields of a later medclf are left out.

        Args:
            record: Of the manifest.

        Returns:
            The record.

        Raises:
            TypeError: A field is missing.
        """
        return cls(**{name: value for name, value in record.items() if name in cls.__dataclass_fields__})

    @property
    def files(self) -> tuple[str, ...]:
        """Every file of the model."""
        return (self.file,) if self.data_file is None else (self.file, self.data_file)


@dataclass(frozen=True)
class TextColumns:
    """The columns of a table that make one text.

    Attributes:
        text: Joined with a space in this order.
        pair: Columns of the second text, empty for single texts.
    """

    text: tuple[str, ...] = ("text",)
    pair: tuple[str, ...] = ()


@dataclass(frozen=True)
class Manifest:
    """The contents of `medclf.json`.

    Attributes:
        labels: Names in logit order, the task, thresholds.
        columns: Columns of the training table that made a text; the default of `medclf-predict`.
        max_length: Most tokens of one row of the model, special tokens included.
        models: Precision -> model file with its gates.
        files: Path in the bundle -> size and hash; every file but the manifest.
        temperature: Divisor of the logits, already folded into the graphs; recorded for the reader.
        long_text: What becomes of a text over `max_length`.
        golden: Logits of `medclf.golden.TEXTS`: precision -> one row a text.
        training: Where the model came from: fingerprint of the data, base model, metrics, token lengths. No text.
        versions: Versions of the software that wrote it.
        created: Time of writing, UTC, ISO 8601.
        refused: Precisions that were asked for with `auto` and did not pass -> why.
    """

    labels: Labels
    columns: TextColumns
    max_length: int
    models: dict[str, ModelRecord]
    files: dict[str, FileRecord]
    temperature: float = 1.0
    long_text: LongText = TRUNCATE
    golden: dict[str, list[list[float]]] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    created: str = ""
    refused: dict[str, str] = field(default_factory=dict)

    @property
    def limits(self) -> str:
        """What a long text is cut by, for a message."""
        return f"max_length {self.max_length}, long_text {self.long_text}"

    @property
    def most_tokens(self) -> int:
        """Most tokens of a text that is seen whole, special tokens included."""
        return self.long_text.most_tokens(self.max_length)

    def to_json(self) -> str:
        """Give the text of `medclf.json`."""
        labels = self.labels
        head = {
            "schema_version": SCHEMA_VERSION,
            "task": labels.task,
            "labels": list(labels.names),
            "labels_sha256": labels.sha256,
            "thresholds": None if labels.thresholds is None else list(labels.thresholds),
            "abstain_below": labels.abstain_below,
        }
        rest = asdict(self)
        del rest["labels"]
        rest["long_text"] = str(self.long_text)
        return json.dumps({**head, **rest}, indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    def model(self, precision: str) -> ModelRecord:
        """Give the model of a precision.

        Args:
            precision: `fp32`, `int8` or `fp16`.

        Returns:
            Its record.

        Raises:
            OptionError: The bundle has no such model.
        """
        if precision not in self.models:
            raise OptionError(f"precision {precision}: this bundle holds {', '.join(self.models)} only.")
        return self.models[precision]


def read_manifest(folder: Path) -> Manifest:
    """Read and check the manifest of a bundle; the files it lists are not opened.

    Args:
        folder: The bundle.

    Returns:
        The manifest.

    Raises:
        BundleError: The folder is no bundle, or a field of the manifest is missing or wrong.
        BundleVersionError: It has a schema version that this medclf does not read.
    """
    path = folder / MANIFEST
    if not path.is_file():
        what = "has no medclf.json" if folder.is_dir() else "does not exist"
        raise BundleError(f"{folder} is not a bundle: it {what}. Write one with medclf-export.")
    try:
        data = json.loads(path.read_bytes())
    except ValueError as error:
        raise BundleError(f"{path} is not JSON. The bundle is damaged: export it again.") from error
    if not isinstance(data, dict) or not isinstance(data.get("schema_version"), int):
        raise BundleError(f"{path} has no schema_version. The bundle is damaged: export it again.")
    if data["schema_version"] != SCHEMA_VERSION:
        raise BundleVersionError(
            f"{path} has schema version {data['schema_version']}, this medclf reads {SCHEMA_VERSION}. "
            "Use the medclf that wrote it, or export the checkpoint again."
        )
    return _parse(data, path)


def _parse(data: Mapping[str, Any], path: Path) -> Manifest:
    try:
        thresholds = data["thresholds"]
        labels = Labels(
            tuple(data["labels"]),
            data["task"],
            None if thresholds is None else tuple(thresholds),
            data.get("abstain_below"),
        )
        manifest = Manifest(
            labels=labels,
            columns=TextColumns(tuple(data["columns"]["text"]), tuple(data["columns"]["pair"])),
            max_length=int(data["max_length"]),
            models={precision: ModelRecord.read(record) for precision, record in data["models"].items()},
            files={name: FileRecord(**record) for name, record in data["files"].items()},
            temperature=float(data["temperature"]),
            long_text=_long_text(data["long_text"], path),
            golden=data["golden"],
            training=data["training"],
            versions=data["versions"],
            created=data["created"],
            refused=data.get("refused", {}),
        )
    except KeyError as error:
        raise BundleError(
            f"{path}: field {error.args[0]!r} is missing. The bundle is damaged: export it again."
        ) from error
    except (TypeError, ValueError, AttributeError) as error:
        raise BundleError(
            f"{path}: a field has the wrong type or value. The bundle is damaged: export it again."
        ) from error
    _check(manifest, data, path)
    return manifest


def _long_text(value: object, path: Path) -> LongText:
    try:
        return LongText.parse(value)
    except OptionError as error:
        raise BundleError(f"{path}: {error} Use the medclf that wrote it, or export the checkpoint again.") from error


def _check(manifest: Manifest, data: Mapping[str, Any], path: Path) -> None:
    if data.get("labels_sha256") != manifest.labels.sha256:
        raise BundleError(f"{path}: labels_sha256 is not the hash of the labels. They were edited: export again.")
    try:
        manifest.long_text.check(
            manifest.max_length, multi_label=manifest.labels.multi_label, pairs=bool(manifest.columns.pair)
        )
    except OptionError as error:
        raise BundleError(f"{path}: {error} The bundle is damaged: export it again.") from error
    if not manifest.models:
        raise BundleError(f"{path}: no model is listed. The bundle is damaged: export it again.")
    wrong = [precision for precision, model in manifest.models.items() if not isinstance(model.static_shapes, bool)]
    if wrong:
        raise BundleError(
            f"{path}: static_shapes of {', '.join(wrong)} is neither true nor false. The bundle is damaged: export it "
            "again."
        )
    named = [name for model in manifest.models.values() for name in model.files]
    for name in (*manifest.files, *named):
        pure = PurePosixPath(name)
        if pure.is_absolute() or ".." in pure.parts or "\\" in name:
            raise BundleError(f"{path}: the path {name!r} leaves the bundle. Do not use this bundle.")
    unlisted = [name for name in named if name not in manifest.files]
    if unlisted:
        raise BundleError(
            f"{path}: no hash is listed for {', '.join(unlisted)}. The bundle is damaged: export it again."
        )


def read_verified(folder: Path, manifest: Manifest, name: str) -> bytes:
    """Read a file of a bundle and check it; what is returned is what was hashed.

    Args:
        folder: The bundle.
        manifest: Its manifest.
        name: Path of the file in the bundle.

    Returns:
        The bytes.

    Raises:
        IntegrityError: The file is missing, is not listed, or differs in size or hash.
    """
    record = manifest.files.get(name)
    if record is None:
        raise IntegrityError(f"{folder / name} is not listed in {MANIFEST}. Export the bundle again.")
    try:
        data = (folder / name).read_bytes()
    except OSError as error:
        raise IntegrityError(f"{folder / name} cannot be read: {error.strerror}. Export the bundle again.") from error
    if len(data) != record.size_bytes:
        raise IntegrityError(
            f"{folder / name} has {len(data):,} bytes, {MANIFEST} says {record.size_bytes:,}. "
            "The bundle is damaged: copy or export it again."
        )
    if FileRecord.of(data) != record:
        raise IntegrityError(
            f"{folder / name} has the right size and the wrong SHA-256. The bundle is damaged: copy or export it again."
        )
    return data
