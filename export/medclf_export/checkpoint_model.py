"""The PyTorch side of an export: the checkpoint's model as the reference, and its weights."""

import contextlib
import io
from pathlib import Path

import numpy as np
import torch
import transformers
from safetensors import SafetensorError

from medclf.errors import ExportError
from medclf.labels import Floats
from medclf.tokenizer import Batch
from medclf.train.checkpoint import Checkpoint
from medclf_export.graph import Array


class CheckpointModel:
    """A checkpoint in PyTorch, fp32, on the CPU."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        """Load the weights, from safetensors alone.

        Args:
            checkpoint: What to load.

        Raises:
            ExportError: The weights cannot be loaded, or are not finite.
        """
        self._model = _load(checkpoint.folder)
        self.state: dict[str, Array] = {name: value.numpy() for name, value in self._model.state_dict().items()}
        broken = [name for name, value in self.state.items() if not np.isfinite(value).all()]
        if broken:
            raise ExportError(
                f"{checkpoint.folder}: {len(broken)} weight(s) hold NaN or infinity, such as {broken[0]}. "
                "Training diverged: train again with a lower learning rate."
            )

    @torch.inference_mode()
    def forward(self, batch: Batch) -> Floats:
        """Run the model.

        Args:
            batch: Inputs, int64 [batch, sequence].

        Returns:
            Logits, float32 [batch, labels].
        """
        inputs = {name: torch.from_numpy(value) for name, value in batch.feed().items()}
        logits: Floats = self._model(**inputs).logits.numpy()
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
