"""A user's own network, without a plugin: wrapped, measured, and found again when a run is opened."""
