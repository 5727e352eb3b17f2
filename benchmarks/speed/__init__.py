"""Speed of zoo compared with other libraries: ``python -m benchmarks``."""
