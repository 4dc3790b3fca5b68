"""libmedclf in Python, by ctypes: the same answers as `medclf.runtime`, computed by the library that C and C++ use.

The library is in the wheel where a C++ compiler was there when it was built; `docs/native.md` tells the rest.
"""

from medclf.native.classifier import NativeClassifier
from medclf.native.library import library_path, onnxruntime_path

__all__ = ["NativeClassifier", "library_path", "onnxruntime_path"]
