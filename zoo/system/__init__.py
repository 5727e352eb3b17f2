"""The ground: files, paths, the processor, memory, the network, and ways around faults of libraries."""
