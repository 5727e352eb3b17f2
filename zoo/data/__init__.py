"""Read datasets of any modality into samples and batches: folders, tables, Hub datasets."""
