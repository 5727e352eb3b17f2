"""Tensor files, seeds, hooks, and workarounds for torch and torchvision."""
