"""What training starts from: a backbone that fits the data, its weights, its tokenizer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.contract.backbone import Backbone
from zoo.contract.spec import BackboneSpec, Pooling, Weights
from zoo.data.samples import Samples, Splits
from zoo.engine.progress import Reporter
from zoo.errors import RunError, UsageError, WeightsUnavailable
from zoo.modalities.image.not_seen import outside_in_words
from zoo.modalities.image.traits import range_of
from zoo.modalities.text.tokenization import require_separator, train_tokenizer
from zoo.registry.registry import Resolved
from zoo.registry.run_record import TOKENIZER, origin_of
from zoo.runs.request import Request, Resize
from zoo.system.panics import panics_are_errors
from zoo.weights.build import build, refuse_larger
from zoo.weights.load import choose, fetch, file_sha256

if TYPE_CHECKING:
    from tokenizers import Tokenizer


SCRATCH_SIZE = 96
"""Height and width, in pixels, on which networks of any size train from random parameters."""

TEXT_LENGTH = 512
"""Tokens that texts are cut to, where the network would take more."""


@dataclass(frozen=True, kw_only=True)
class Start:
    """What training starts from: a backbone that fits the data, and its weights."""

    backbone: Backbone
    weights: Weights | None
    sha256: str
    tokenizer: Tokenizer | None
    origin: Mapping[str, Any] | None


def wish(resolved: Resolved, weights: str) -> str:
    """Which weights are meant: an explicit wish goes before the tag in the name."""
    return resolved.weights if weights == "auto" else weights


def for_weights(spec: BackboneSpec, weights: Weights | None) -> BackboneSpec:
    """The spec with the input that these weights were trained on."""
    return replace(spec, input=weights.input) if weights and weights.input else spec


def start_from(request: Request, resolved: Resolved, splits: Splits, reporter: Reporter) -> Start:
    """Fetch the weights and build the backbone for the data.

    Raises:
        WeightsError: The weights cannot be had or do not fit.
        UsageError: A size or length that the backbone does not take.
        DataError: Pairs of texts, and a tokenizer that puts nothing between them.
    """
    weights = choose(resolved.spec, wish(resolved, request.weights))
    path = None
    if weights is not None:
        try:
            path = fetch(weights)
        except WeightsUnavailable as error:
            if request.data is not None:
                raise
            reporter.note(f"{error.message}: the demo trains from random parameters instead")
            weights = None
    spec = _fitted_spec(request, for_weights(resolved.spec, weights), splits, weights)
    tokenizer = None
    if spec.input.needs_tokenizer:
        spec, tokenizer = _with_tokenizer(spec, splits.train, path)
    if resolved.run is not None and path is not None:
        refuse_larger(spec, path)
    backbone = build(spec, weights)
    if spec.input.tokens and tokenizer is None and backbone.tokenizer is None:
        # Random parameters, and the published tokenizer is out of reach: it has nothing to fit.
        spec, tokenizer = _with_tokenizer(spec, splits.train, path)
        backbone = build(spec, weights)
    tokenizer = tokenizer or backbone.tokenizer
    if splits.train.pairs and tokenizer is not None:
        require_separator(tokenizer)
    sha256 = file_sha256(path) if path else ""
    return Start(
        backbone=backbone,
        weights=weights,
        sha256=sha256,
        tokenizer=tokenizer,
        origin=origin_of(weights, sha256, resolved.run),
    )


def at_usual_length(spec: BackboneSpec) -> BackboneSpec:
    """The spec of a network for texts with the length to which those are cut by default."""
    text = spec.text_input
    usual = text.max_length if text.longest else text.usual_length or TEXT_LENGTH
    longest = text.longest or text.max_length
    return spec.with_input(max_length=min(text.max_length, usual), longest=longest)


def _fitted_spec(
    request: Request, spec: BackboneSpec, splits: Splits, weights: Weights | None
) -> BackboneSpec:
    """The spec with the size or length that the request and the data ask for."""
    if spec.modality == "text":
        changed = at_usual_length(spec)
        longest = changed.text_input.longest
        limit = request.max_length or changed.text_input.max_length
        if limit > longest:
            raise UsageError(
                f"--max-length {limit} is more than {spec.name} takes",
                hint=f"Give at most {longest}.",
            )
        return changed.with_input(max_length=limit, pooling=_pooling(request, spec))
    spec = spec.with_input(**_reading(request, splits))
    if words := outside_in_words(spec.image_input, splits.train.traits):
        low, high = spec.image_input.value_range
        raise UsageError(
            f"--range {low:g} {high:g} does not fit the data: {words}",
            hint="Leave --range out to have it found from the images, or give black and white.",
        )
    given = spec.image_input
    size = request.image_size
    if size is None and not given.fixed_size:
        small = splits.image_size or (None if weights else min(SCRATCH_SIZE, given.size))
        size = given.fitting(small) if small else None
    if size is not None and not given.fixed_size and size != (fit := given.fitting(size)):
        steps = f" in steps of {given.multiple_of}" if given.multiple_of > 1 else ""
        raise UsageError(
            f"{spec.name} takes pictures of {given.fitting(1)} pixels and more{steps}, not of {size}",
            hint=f"The nearest size is {fit}: --image-size {fit}.",
        )
    return spec.with_input(size=size) if size else spec


def _pooling(request: Request, spec: BackboneSpec) -> Pooling:
    """The pooling that was asked for, if the network can have another than its own."""
    own = spec.text_input.pooling
    if request.pooling not in (None, own) and spec.text_input.own_pooling:
        raise UsageError(
            f"--pooling {request.pooling} has no effect: {spec.name} pools by itself ({own})",
            hint="Leave --pooling out.",
        )
    return request.pooling or own


_SQUARES: Mapping[Resize, Mapping[str, Any]] = {
    "crop": {"crop_mode": "center"},
    "pad": {"crop_mode": "border", "crop": 1.0},
    "squash": {"crop_mode": "squash", "crop": 1.0},
}
"""What ``--resize`` asks of a network's input; padding and squashing keep all of an image."""


def _reading(request: Request, splits: Splits) -> dict[str, Any]:
    """How the data and the request want images to be read, as fields of the spec's input.

    The scale of grey is that of these data, also where training starts from a run with another.
    """
    square = _SQUARES[request.resize] if request.resize else {}
    found = range_of(splits.train.traits) or range_of(splits.val.traits if splits.val else None)
    values = request.value_range or found
    return {"value_range": tuple(values), **square}


def tokenizer_beside(path: Path | None) -> Tokenizer | None:
    """The tokenizer of the run whose weights are at ``path``, if it is a run's.

    Raises:
        RunError: It cannot be read.
    """
    from tokenizers import Tokenizer

    file = path.parent / TOKENIZER if path else None
    if file is None or not file.is_file():
        return None
    try:
        with panics_are_errors():
            found: Tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:  # tokenizers raises plain Exception for whatever is wrong
        raise RunError(f"{file} cannot be read: {error}", hint="Put the run's own back.") from error
    return found


def _with_tokenizer(
    spec: BackboneSpec, train: Samples, weights: Path | None
) -> tuple[BackboneSpec, Tokenizer]:
    """A tokenizer for a network that brings none, and the spec with its vocabulary.

    It is that of the run whose weights training starts from, else trained on ``train``.
    """
    tokenizer = tokenizer_beside(weights)
    if tokenizer is None:
        texts = (text for i in range(len(train)) for text in train.texts(i))
        size = spec.text_input.vocab_size
        tokenizer = train_tokenizer(texts, vocab_size=size, pairs=train.pairs)
    vocabulary = {"vocab_size": tokenizer.get_vocab_size(), "pad_id": 0, "own_tokenizer": False}
    return spec.with_input(**vocabulary), tokenizer
