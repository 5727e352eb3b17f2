"""The parts of a backbone, which work on its network: head, freezing, adapters, weights. With torch."""
