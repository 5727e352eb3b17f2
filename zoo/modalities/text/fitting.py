"""The input of a network as the data and the user want it: length, pooling, tokenizer."""

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
"""Tokens that texts are cut to, where the network would take more."""


def at_usual_length(spec: BackboneSpec) -> BackboneSpec:
    """The spec of a network for texts with the length to which those are cut by default."""
    text = spec.text_input
    usual = text.max_length if text.longest else text.usual_length or TEXT_LENGTH
    longest = text.longest or text.max_length
    return spec.with_input(max_length=min(text.max_length, usual), longest=longest)


def fitted(spec: BackboneSpec, asked: Mapping[str, Any]) -> BackboneSpec:
    """The spec with the length and pooling that the options ask for.

    Raises:
        UsageError: The network does not take so many tokens, or pools in its own way alone.
    """
    changed = at_usual_length(spec)
    longest = changed.text_input.longest
    limit = asked["max_length"] or changed.text_input.max_length
    if limit > longest:
        raise UsageError(
            f"--max-length {limit} is more than {spec.name} takes",
            hint=f"Give at most {longest}.",
        )
    return changed.with_input(max_length=limit, pooling=_pooling(spec, asked["pooling"]))


def _pooling(spec: BackboneSpec, wanted: Pooling | None) -> Pooling:
    """The pooling that was asked for, if the network can have another than its own."""
    own = spec.text_input.pooling
    if wanted not in (None, own) and spec.text_input.own_pooling:
        raise UsageError(
            f"--pooling {wanted} has no effect: {spec.name} pools by itself ({own})",
            hint="Leave --pooling out.",
        )
    return wanted or own


def with_tokenizer(
    spec: BackboneSpec, train: Samples, found: Tokenizer | None
) -> tuple[BackboneSpec, Tokenizer]:
    """A tokenizer for a network that brings none, and the spec with its vocabulary.

    Args:
        spec: Of the network.
        train: What a tokenizer is trained on.
        found: One to take instead.
    """
    tokenizer = found
    if tokenizer is None:
        texts = (text for i in range(len(train)) for text in texts_of(train.raw(i)))
        size = spec.text_input.vocab_size
        tokenizer = train_tokenizer(texts, vocab_size=size, pairs=train.pairs)
    vocabulary = {"vocab_size": tokenizer.get_vocab_size(), "pad_id": 0, "own_tokenizer": False}
    return spec.with_input(**vocabulary), tokenizer
