"""Features of whole datasets, written to files."""
