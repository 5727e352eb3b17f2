"""Modalities whose inputs are files: plugins provide a few functions, and this package the rest."""
