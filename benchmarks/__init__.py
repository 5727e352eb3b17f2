"""Benchmarks. Run ``python -m benchmarks.NAME`` from the project root."""
