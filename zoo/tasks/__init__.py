"""What outputs mean: one file a task."""
