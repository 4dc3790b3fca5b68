"""Everything that answers questions with a bundle; never loads torch."""

from medclf.runtime.classifier import Classifier
from medclf.runtime.predictions import Predictions

__all__ = ["Classifier", "Predictions"]
