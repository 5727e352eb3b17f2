"""Pretrained weights: find, download, verify, load."""
