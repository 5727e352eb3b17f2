"""Images: files, bytes and pixels that become ``pixel_values``. Start at modality.py."""
