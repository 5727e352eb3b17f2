"""Import timm after declaring the operators that its torchvision needs, and silence it."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from zoo import Backbone as Backbone  # readies torch for torchvision, which timm imports

import timm as timm  # isort: skip


@contextmanager
def quiet() -> Iterator[None]:
    """Suppress timm's log and warnings; problems that matter become errors."""
    logger = logging.getLogger("timm")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
