"""Search for the backbone and the hyperparameters that suit some data, within a time limit."""
