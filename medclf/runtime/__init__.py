"""Everything that answers questions with a bundle; never loads torch.

`AsyncClassifier` is in `medclf.runtime.asynchronous`, as asyncio would double the time of this import.
"""

from medclf.runtime.classifier import Classifier
from medclf.runtime.predictions import Predictions, Truncation

__all__ = ["Classifier", "Predictions", "Truncation"]
