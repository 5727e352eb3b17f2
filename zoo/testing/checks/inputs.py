"""Unusual inputs: other sizes, padding, texts that are too long."""

from __future__ import annotations

import torch

from zoo.contract.network.backbone import Backbone
from zoo.contract.spec import ImageInput, TextInput
from zoo.modalities import modality_of
from zoo.modalities.text.tokenization import TextEncoder
from zoo.testing.checks.base import (
    NotApplicable,
    assert_close,
    check,
    sample_batch,
    tokenizer_of,
)

STEP = 32
"""Pixels by which the width of a non-square image is larger."""


@check(takes=ImageInput, on_meta=True)
def other_image_sizes_work_unless_fixed(backbone: Backbone) -> None:
    """Larger and non-square images work; a network of ``fixed_size`` may reject them."""
    image, side = backbone.spec.image_input, modality_of(backbone.spec).small_size(backbone.spec)
    backbone.eval()
    for size in ((side + image.multiple_of,) * 2, (side, image.fitting(side + STEP))):
        height, width = size
        try:
            with torch.no_grad():
                features = backbone.features(sample_batch(backbone, size=(height, width)))
        except (RuntimeError, AssertionError, ArithmeticError, IndexError, ValueError) as error:
            reason = str(error).strip().partition("\n")[0]
            assert image.fixed_size, f"{height} x {width} pixels are refused, undeclared: {reason}"
        else:
            assert features.shape == (2, backbone.spec.feature_dim), (
                f"{height} x {width} pixels give features of {tuple(features.shape)}"
            )


@check(takes=ImageInput, on_meta=True)
def the_smallest_image_size_works(backbone: Backbone) -> None:
    """Images of ``min_size`` pixels work."""
    image = backbone.spec.image_input
    if image.fixed_size:
        raise NotApplicable("it takes one size alone")
    backbone.eval()
    with torch.no_grad():
        features = backbone.features(sample_batch(backbone, size=image.fitting(1)))
    assert features.shape == (2, backbone.spec.feature_dim)


@check(takes=TextInput, rounds=True)
def padding_does_not_change_features(backbone: Backbone) -> None:
    """Features are the same with and without padding after the sequence."""
    backbone.eval()
    short = sample_batch(backbone, size=6)
    ids, mask = short["input_ids"], short["attention_mask"]
    padding = torch.full((len(ids), 4), backbone.spec.text_input.pad_id)
    padded = {
        "input_ids": torch.cat([ids, padding], dim=1),
        "attention_mask": torch.cat([mask, torch.zeros_like(padding)], dim=1),
    }
    with torch.no_grad():
        assert_close(backbone.features(padded), backbone.features(short), "padding matters")


@check(takes=TextInput, rounds=True)
def token_type_ids_are_accepted(backbone: Backbone) -> None:
    """A batch may have ``token_type_ids``; if all are 0, they have no effect."""
    backbone.eval()
    plain = sample_batch(backbone, size=6)
    typed = {**plain, "token_type_ids": torch.zeros_like(plain["input_ids"])}
    with torch.no_grad():
        assert_close(backbone.features(typed), backbone.features(plain), "types of 0 matter")


@check(takes=TextInput)
def long_texts_are_truncated_to_the_maximum_length(backbone: Backbone) -> None:
    """A text that is too long becomes ``max_length`` tokens, including special tokens."""
    text, tokenizer = backbone.spec.text_input, tokenizer_of(backbone)
    encoder = TextEncoder(tokenizer, text)
    short, long = (encoder.encode(["words " * count])[0] for count in (1, 2 * text.max_length))
    assert len(long) == text.max_length, f"{len(long)} tokens, declared {text.max_length}"
    if tokenizer.num_special_tokens_to_add(is_pair=False):
        ends = (short[0], short[-1]), (long[0], long[-1])
        assert ends[0] == ends[1], "the special tokens of a text that was cut are others"
    largest = max(tokenizer.get_vocab().values(), default=0)
    assert largest < text.vocab_size, f"the tokenizer gives {largest}, past {text.vocab_size} rows"
