"""zoo's speed beside what a user would pick instead; ``python -m benchmarks`` measures it."""
