"""Files, paths, processor, memory, network, and workarounds for library bugs."""
