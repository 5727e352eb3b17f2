"""Accuracy of zoo and other libraries from the same pretrained weights: ``python -m benchmarks.equal_starts``."""
