"""Build networks and load weights into them. This folder needs torch."""
