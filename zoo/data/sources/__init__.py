"""Data sources: folders of files, tables and Hub datasets, and their splits."""
