"""Which backbone for these data: candidates, their features, scores of those, and the ranking."""
