"""Adapt the text input of a network to the data and the options: length, pooling, tokenizer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from zoo.contract.spec import BackboneSpec, Pooling
from zoo.data.samples import Samples
from zoo.errors import UsageError
from zoo.modalities.text.contents import texts_of
from zoo.modalities.text.tokenization import train_tokenizer

if TYPE_CHECKING:
    from tokenizers import Tokenizer

TEXT_LENGTH = 512
"""The default maximum length, in tokens, for networks that take more."""


def at_usual_length(spec: BackboneSpec) -> BackboneSpec:
    """The spec with the default maximum length."""
    text = spec.text_input
    usual = text.max_length if text.longest else text.usual_length or TEXT_LENGTH
    longest = text.longest or text.max_length
    return spec.with_input(max_length=min(text.max_length, usual), longest=longest)


def fitted(spec: BackboneSpec, asked: Mapping[str, Any]) -> BackboneSpec:
    """The spec with the length and pooling of the options.

    Raises:
        UsageError: The network takes fewer tokens, or does not support the pooling.
    """
    changed = at_usual_length(spec)
    longest = changed.text_input.longest
    limit = asked["max_length"] or changed.text_input.max_length
    if limit > longest:
        raise UsageError(
            f"--max-length must be at most {longest} for {spec.name}, got {limit}",
            hint=f"Use --max-length {longest} or less.",
        )
    return changed.with_input(max_length=limit, pooling=_pooling(spec, asked["pooling"]))


def _pooling(spec: BackboneSpec, wanted: Pooling | None) -> Pooling:
    """The requested pooling, if the network supports it."""
    published = spec.text_input.pooling
    if wanted not in (None, published) and spec.text_input.own_pooling:
        raise UsageError(
            f"--pooling {wanted} is not supported by {spec.name}, which has its own ({published})",
            hint="Remove --pooling.",
        )
    return wanted or published


def with_tokenizer(
    spec: BackboneSpec, train: Samples, found: Tokenizer | None
) -> tuple[BackboneSpec, Tokenizer]:
    """A tokenizer for a network without one, and the spec with its vocabulary.

    Args:
        spec: The network's spec.
        train: The samples to train a tokenizer on.
        found: A tokenizer to use instead.
    """
    tokenizer = found
    if tokenizer is None:
        texts = (text for i in range(len(train)) for text in texts_of(train.raw(i)))
        size = spec.text_input.vocab_size
        tokenizer = train_tokenizer(texts, vocab_size=size, pairs=train.pairs)
    vocabulary = {"vocab_size": tokenizer.get_vocab_size(), "pad_id": 0, "own_tokenizer": False}
    return spec.with_input(**vocabulary), tokenizer
