"""One fine-tune, from request to run."""
