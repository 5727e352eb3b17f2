"""Modalities whose inputs are files: a plugin gives a few functions, and this the rest of a modality."""
