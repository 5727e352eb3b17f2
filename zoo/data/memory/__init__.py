"""Data given in Python: lists, DataFrames, ``datasets``, torch datasets, mappings of splits."""
