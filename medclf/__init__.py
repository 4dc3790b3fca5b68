"""medclf trains, exports, proves and serves medical text classifiers.

Light on purpose: this file runs at every `import medclf.x`, so it imports nothing.
"""

__version__ = "0.1.0"
