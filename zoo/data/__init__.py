"""From what a user has to batches: folders, tables, Hub data sets, demo data."""

from zoo.data.demo import demo_data
from zoo.data.inputs import Text, open_inputs
from zoo.data.loader import ImageFeed, Loader, TextFeed, make_loader
from zoo.data.opening import open_data
from zoo.data.pictures import read_picture
from zoo.data.samples import Samples, Splits
from zoo.data.text import TextEncoder, train_tokenizer
from zoo.data.transforms import ImageTransform, Normalise, make_transform

__all__ = [
    "ImageFeed",
    "ImageTransform",
    "Loader",
    "Normalise",
    "Samples",
    "Splits",
    "Text",
    "TextEncoder",
    "TextFeed",
    "demo_data",
    "make_loader",
    "make_transform",
    "open_data",
    "open_inputs",
    "read_picture",
    "train_tokenizer",
]
