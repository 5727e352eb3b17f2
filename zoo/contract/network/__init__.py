"""The parts of a backbone: head, freezing, adapters, weights. Imports torch."""
