"""Graphs of one checkpoint, written into the folder that is to become the bundle, opened, and put through the gates."""

from collections.abc import Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medclf.bundle import ModelRecord
from medclf.labels import Floats
from medclf.runtime.cores import usable_cores
from medclf.runtime.runner import Runner
from medclf.runtime.session import Session
from medclf.tokenizer import Encoded, TextEncoder
from medclf_export.route import Route

FILES = {"fp32": "onnx/model.onnx", "int8": "onnx/model_quantized.onnx", "fp16": "onnx/model_fp16.onnx"}


@dataclass
class Draft:
    """A graph on disk.

    Attributes:
        precision: Key of `FILES`.
        paths: Its file, and the file of its weights where they are outside.
        encoder: The tokenizer, for its padding and pooling.
        multi_label: Whether a text may have several labels.
        gates: What was measured so far.
    """

    precision: str
    paths: Sequence[Path]
    encoder: TextEncoder
    multi_label: bool
    gates: dict[str, Any] = field(default_factory=dict)
    _session: Session | None = None

    @property
    def session(self) -> Session:
        """The graph, opened at its first use."""
        if self._session is None:
            self._session = Session(self.paths[0], name=FILES[self.precision])
        return self._session

    def logits(self, encoded: Sequence[Encoded]) -> Floats:
        """Run texts with the schedule of the runtime, on all cores.

        Args:
            encoded: Token ids of each text.

        Returns:
            float32 [texts, labels].
        """
        runner = Runner(self.session, self.encoder, multi_label=self.multi_label, n_callers=usable_cores())
        try:
            return runner.logits(encoded)
        finally:
            runner.close()

    def record(self, folder: Path) -> ModelRecord:
        """Describe the draft, which has passed its gates, for the manifest of a bundle in `folder`."""
        file, *data_files = (path.relative_to(folder).as_posix() for path in self.paths)
        signature = self.gates["signature"]
        return ModelRecord(
            file,
            opset=signature["opset"],
            ir_version=signature["ir_version"],
            gates=self.gates,
            data_file=data_files[0] if data_files else None,
            static_shapes=signature["static_shapes"],
        )

    def close(self) -> None:
        """Free the memory of the session; the file stays."""
        if self._session is not None:
            self._session.close()
            self._session = None

    def discard(self) -> None:
        """Close it and remove its files."""
        self.close()
        for path in self.paths:
            path.unlink()


@dataclass(frozen=True)
class Drafts:
    """Makes drafts.

    Attributes:
        route: How a graph is made.
        metadata: The `metadata_props` of every graph.
        encoder: The tokenizer.
        folder: Where they are written.
        multi_label: Whether a text may have several labels.
    """

    route: Route
    metadata: dict[str, str]
    encoder: TextEncoder
    folder: Path
    multi_label: bool

    def make(self, precision: str, *, int8: Set[str] = frozenset()) -> Draft:
        """Build a graph and write it, over an older one of this precision.

        Args:
            precision: Key of `FILES`.
            int8: Which linear layers are INT8, for `int8`.

        Returns:
            The draft.

        Raises:
            ExportError: The route does not make such a graph.
        """
        model = self.route.build(self.metadata, int8=int8, half=precision == "fp16")
        return Draft(precision, model.save(self.folder / FILES[precision]), self.encoder, self.multi_label)
