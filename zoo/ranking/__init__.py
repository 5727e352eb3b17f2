"""Rank backbones for a dataset: candidates, their features, scores, and the ranking."""
