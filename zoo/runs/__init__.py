"""Finished runs: folders, predictions, comparisons and reports."""
