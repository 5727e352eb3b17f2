"""Raises on import."""

raise RuntimeError("this machine is not for me")
