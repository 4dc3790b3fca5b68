"""The PyTorch side of an export: the checkpoint's model as the reference, and its weights."""

import contextlib
import inspect
import io
from pathlib import Path

import torch
import transformers
from safetensors import SafetensorError

from medclf.errors import ExportError
from medclf.labels import Floats
from medclf.tokenizer import Batch
from medclf.train.checkpoint import Checkpoint
from medclf_export.model import Array
from medclf_export.signature import INPUTS


class CheckpointModel:
    """A checkpoint in PyTorch, fp32, on the CPU; loaded when it is needed, and let go of while sessions are open."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        """Name the checkpoint.

        Args:
            checkpoint: What to load, from safetensors alone.
        """
        self._folder = checkpoint.folder
        self._loaded: torch.nn.Module | None = None

    @property
    def module(self) -> torch.nn.Module:
        """The model.

        Raises:
            ExportError: The weights cannot be loaded, or are not finite.
        """
        if self._loaded is None:
            module = _load(self._folder)
            broken = [name for name, value in module.state_dict().items() if not torch.isfinite(value).all()]
            if broken:
                raise ExportError(
                    f"{self._folder}: {len(broken)} weight(s) hold NaN or infinity, such as {broken[0]}. "
                    "Training diverged: train again with a lower learning rate."
                )
            self._loaded = module
        return self._loaded

    @property
    def inputs(self) -> tuple[str, ...]:
        """Which of `INPUTS` it takes; token types only where it has more than one."""
        parameters = inspect.signature(self.module.forward).parameters  # DistilBERT has no token_type_ids
        has_types = (getattr(self.module.config, "type_vocab_size", None) or 0) > 1
        return tuple(name for name in INPUTS if name in parameters and (has_types or name != "token_type_ids"))

    @property
    def state(self) -> dict[str, Array]:
        """Name of each weight -> float32 array that shares its memory."""
        return {name: value.numpy() for name, value in self.module.state_dict().items()}

    def release(self) -> None:
        """Free the weights; they are loaded again where they are needed again."""
        self._loaded = None

    @torch.inference_mode()
    def forward(self, batch: Batch) -> Floats:
        """Run the model.

        Args:
            batch: Inputs, int64 [batch, sequence].

        Returns:
            Logits, float32 [batch, labels].

        Raises:
            ExportError: The model does not take such a batch.
        """
        inputs = {name: torch.from_numpy(value) for name, value in batch.feed().items() if name in self.inputs}
        try:
            logits: Floats = self.module(**inputs).logits.numpy()
        except Exception as error:  # whatever the code of any model raises; its words could hold token ids
            raise ExportError(
                f"{self._folder}: PyTorch fails on {batch.input_ids.shape[0]} x {batch.input_ids.shape[1]} tokens "
                f"({type(error).__name__}): a classifier of this architecture cannot be served."
            ) from error
        return logits


def _load(folder: Path) -> torch.nn.Module:
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    talk = io.StringIO()  # transformers prints a report of missing weights; a missing weight is our error below
    try:
        with contextlib.redirect_stdout(talk), contextlib.redirect_stderr(talk):
            model, info = transformers.AutoModelForSequenceClassification.from_pretrained(
                folder,
                local_files_only=True,
                use_safetensors=True,
                dtype=torch.float32,
                attn_implementation="eager",  # the others branch on values and shapes, which tracing would freeze
                output_loading_info=True,
            )
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        raise ExportError(
            f"{folder}: the weights cannot be loaded ({type(error).__name__}). "
            "Is model.safetensors whole, and does config.json describe it?"
        ) from error
    if info["missing_keys"]:
        missing = sorted(info["missing_keys"])
        raise ExportError(
            f"{folder}: {len(missing)} weight(s) are missing, such as {missing[0]}: it is not a trained classifier. "
            "Train it with medclf-train."
        )
    return model.eval()  # type: ignore[no-any-return]
