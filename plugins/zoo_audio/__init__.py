"""Audio: recordings as a modality, a small CNN from scratch, and Transformers' audio encoders."""
