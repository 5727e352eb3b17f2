"""From what a user has to samples and batches, of any modality: folders, tables, Hub datasets."""
