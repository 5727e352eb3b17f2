"""Names of the table columns that hold images."""

# fmt: off
NAMES = (
    "image", "img", "picture", "photo", "path", "image_path", "img_path", "file_path", "filepath",
    "file", "file_name", "filename", "images",
)
# fmt: on
