"""Side-by-side measurements: ``python -m benchmarks.NAME``, from the project's root."""
