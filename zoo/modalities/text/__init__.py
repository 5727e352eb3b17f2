"""Texts and pairs of texts that become token ids. Start at modality.py."""
