"""JPEGs decoded on a GPU, by nvJPEG through torchvision.

Its pixels may differ from those of Pillow's libjpeg by a few of 255. Not tried on a GPU yet: whether
it is used is decided by timing it beside the workers.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import ExifTags, Image
from torch import Tensor

from zoo.modalities.image.reading import content_of
from zoo.system.tensors.torchvision_operators import declare_missing_operators

_JPEG = b"\xff\xd8\xff"


@dataclass(frozen=True)
class EncodedImage:
    """A JPEG, or an image that is decoded already.

    Attributes:
        size: Height and width in pixels.
        content: The encoded bytes; empty if it is decoded.
        pixels: ``(H, 3, W)``, if it is decoded.
    """

    size: tuple[int, int]
    content: bytes = b""
    pixels: NDArray[np.uint8] | None = None

    @classmethod
    def decoded(cls, pixels: NDArray[np.uint8]) -> EncodedImage:
        """An image that was decoded on the host."""
        return cls((pixels.shape[0], pixels.shape[2]), pixels=pixels)


def can_decode(device: torch.device) -> bool:
    """Whether this device and this build of torchvision can decode JPEGs."""
    if device.type != "cuda" or not declare_missing_operators():
        return False
    import torchvision.io  # noqa: F401 - which loads its operators

    return hasattr(torch.ops.image, "decode_jpegs_cuda")


def is_plain_jpeg(raw: Any) -> bool:
    """Whether an input is a JPEG that :func:`decode` reads as Pillow does."""
    return encoded_jpeg(raw) is not None


def encoded_jpeg(raw: Any) -> EncodedImage | None:
    """A JPEG that needs no rotation; ``None`` for other files, which are decoded on the host.

    Args:
        raw: A path or encoded bytes.
    """
    try:
        content = content_of(raw)
        if not content.startswith(_JPEG):
            return None
        with Image.open(io.BytesIO(content), formats=["JPEG"]) as image:
            upright = image.getexif().get(ExifTags.Base.Orientation, 1) not in range(2, 9)
            if upright and image.mode in ("RGB", "L"):
                return EncodedImage((image.height, image.width), content)
    except Exception:  # whatever a damaged file triggers; reported by whatever decodes it
        return None
    return None


def decode(images: Sequence[EncodedImage], device: torch.device) -> list[Tensor]:
    """The images on the device, ``(H, 3, W)`` each, contiguous.

    Raises:
        RuntimeError: A JPEG is damaged; all of them were read before training.
    """
    encoded = [
        torch.frombuffer(bytearray(image.content), dtype=torch.uint8)
        for image in images
        if image.pixels is None
    ]
    jpegs = iter(_decode_jpegs(encoded, device) if encoded else [])
    return [
        next(jpegs).transpose(0, 1).contiguous()
        if image.pixels is None
        else torch.from_numpy(image.pixels).to(device, non_blocking=True)
        for image in images
    ]


def _decode_jpegs(contents: list[Tensor], device: torch.device) -> list[Tensor]:
    """``(3, H, W)`` each."""
    declare_missing_operators()
    from torchvision.io import ImageReadMode, decode_jpeg

    decoded: list[Tensor] = decode_jpeg(contents, mode=ImageReadMode.RGB, device=device)
    return decoded
