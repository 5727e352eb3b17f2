"""From the weights that are named to a network that has them: find, download, load, compare."""
