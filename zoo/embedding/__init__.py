"""Features of whole datasets, in files that other programs read."""
