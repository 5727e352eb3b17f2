"""Specifications of backbones, as plain data without torch.

A plugin publishes :class:`BackboneSpec` rows. They are frozen, keyword-only, and become JSON
without loss (``BackboneSpec.from_json(spec.to_json()) == spec``), so that the catalogue can be
kept in an index and a run can record exactly what it was built from.
"""

from __future__ import annotations

import dataclasses
import types
import typing
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from math import inf
from typing import Any, ClassVar, Literal, Self

from zoo.errors import ContractError

Modality = str
Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos"]
CropMode = Literal["center", "squash", "border"]
Pooling = Literal["cls", "mean", "pooler", "last"]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

LARGEST_SIZE = 4096
"""Pixels of a side: a batch of 64 such images takes 13 GB already."""

LARGEST_RESIZED = 2 * LARGEST_SIZE
"""Pixels of a side before the centre crop: such an image takes 0.2 GB."""

LEAST_CROP = 0.1
"""The catalogues' least is above 0.7."""


class JsonData:
    """Turns a frozen dataclass into JSON data and back; a field of a later version is ignored."""

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON data (dicts, lists, strings, numbers), defaults included."""
        return {
            f.name: _encode(getattr(self, f.name))
            for f in dataclasses.fields(typing.cast(Any, self))
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`to_json`.

        Raises:
            ContractError: A field is missing or a value is not of the field's kind.
        """
        if not isinstance(data, Mapping):
            raise ContractError(f"not the JSON form of {cls.__name__}: {type(data).__name__}")
        decoders = _decoders(typing.cast(Any, cls))
        for key in data.keys() - decoders.keys():
            _warn_unknown(cls.__name__, key)
        try:
            return cls(**{k: decoders[k](v) for k, v in data.items() if k in decoders})
        except (TypeError, ValueError, AttributeError, KeyError) as error:
            raise ContractError(f"not the JSON form of {cls.__name__}: {error}") from error


@dataclass(frozen=True, kw_only=True)
class ImageInput(JsonData):
    """Image input of a network: size and preprocessing.

    Attributes:
        size: Height and width in pixels after cropping.
        crop: Share of the shorter side that the centre crop keeps, in (0, 1].
        mean: One mean a channel, of values in [0, 1].
        std: One standard deviation a channel, of values in [0, 1].
        interpolation: How images are resized.
        fixed_size: Whether the network is built for images of ``size``, and may refuse others.
            A loader builds a fixed-size network for the size that the spec it is given states.
        min_size: The smallest height and width that the network takes.
        multiple_of: What height and width must be multiples of, where any size is taken.
        crop_mode: ``center``: resize the shorter side, then crop. ``squash``: resize both
            sides, whatever the proportions. ``border``: pad the shorter side.
        value_range: The values that are black and white in images with more than 8 bits a pixel;
            empty where images have 8.
    """

    modality: ClassVar[str] = "image"
    tokens: ClassVar[bool] = False
    needs_tokenizer: ClassVar[bool] = False

    size: int = 224
    crop: float = 0.875
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    interpolation: Interpolation = "bilinear"
    fixed_size: bool = False
    min_size: int = 1
    multiple_of: int = 1
    crop_mode: CropMode = "center"
    value_range: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        _require(1 <= self.size <= LARGEST_SIZE, f"an image size of {self.size}")
        for name in ("min_size", "multiple_of"):
            _require(1 <= getattr(self, name) <= LARGEST_SIZE, f"a {name} of {getattr(self, name)}")
        _require(LEAST_CROP <= self.crop <= 1, f"a crop of {self.crop}")
        resized = self.size / self.crop
        _require(resized <= LARGEST_RESIZED, f"images that are resized to {resized:.0f} pixels")
        _require(len(self.mean) == len(self.std) == 3, "a mean and std for three channels each")
        _require(all(0 <= mean <= 1 for mean in self.mean), f"a mean of {self.mean}")
        _require(all(1e-3 <= std <= 1e3 for std in self.std), f"a std of {self.std}")
        _require(is_range(self.value_range), f"a value_range of {self.value_range}")

    @staticmethod
    def in_short(given: Mapping[str, Any]) -> str:
        """The size in a few characters, of the JSON form."""
        return f"{given['size']} px"

    def fitting(self, size: int) -> int:
        """The smallest height and width from ``size`` on that the network takes."""
        least = max(size, self.min_size)
        return -(-least // self.multiple_of) * self.multiple_of


@dataclass(frozen=True, kw_only=True)
class TextInput(JsonData):
    """Text input of a network.

    Attributes:
        max_length: The most tokens, special ones included, that the network takes.
        pooling: How one vector is made of a sequence: the first token's (``cls``), the
            average over the mask (``mean``), the last token's (``last``), or the published
            network's own pooling layer (``pooler``).
        vocab_size: Rows of the token embedding. Where ``own_tokenizer`` is false, the most that
            the tokenizer trained on the data may have; the loader is given the real number.
        own_tokenizer: Whether the loaded backbone has a tokenizer. If not, one is trained on the
            training split and saved with the run.
        pad_id: The token id that fills short sequences.
        usual_length: The publisher's maximum length, used without ``--max-length``; 0 for 512.
        longest: Of a run, the most tokens that its network takes, where it was trained on fewer;
            0 for ``max_length``.
        own_pooling: Whether the network pools as ``pooling`` says whatever else is asked for;
            ``--pooling`` is refused then.
    """

    modality: ClassVar[str] = "text"
    tokens: ClassVar[bool] = True

    max_length: int = 512
    pooling: Pooling = "cls"
    vocab_size: int = 30_000
    own_tokenizer: bool = True
    pad_id: int = 0
    usual_length: int = 0
    longest: int = 0
    own_pooling: bool = False

    def __post_init__(self) -> None:
        _require(self.max_length >= 1, f"a maximum length of {self.max_length}")
        _require(self.vocab_size >= 1, f"a vocabulary of {self.vocab_size}")

    @staticmethod
    def in_short(given: Mapping[str, Any]) -> str:
        """The length in a few characters, of the JSON form."""
        return f"{given['max_length']} tok"

    @property
    def needs_tokenizer(self) -> bool:
        """Whether a tokenizer is trained on the data, and saved with the run."""
        return not self.own_tokenizer


INPUTS: Mapping[str, type[ImageInput | TextInput]] = {
    each.modality: each for each in (ImageInput, TextInput)
}
"""The kind of input of each modality."""


@dataclass(frozen=True, kw_only=True)
class Weights(JsonData):
    """A named set of pretrained parameters.

    Attributes:
        tag: The name among the backbone's weights, e.g. ``IMAGENET1K_V1``.
        uri: ``https://…`` (kept in torch.hub's cache), ``hf:<org>/<name>[/<file>]`` (kept in the
            Hub's cache), or the path of a local file or folder.
        sha256: The leading hexadecimal digits that the publisher gives, or all 64; empty where
            none are given.
        license: SPDX identifier of the weights' license; empty where the publisher gives none.
        metrics: Published metrics by ``dataset/metric``, in the publisher's unit.
        default: Whether ``--weights auto`` uses these.
        classes: Width of the published head; 0 where the weights have none, or it is unknown.
        input: How these weights want their input, where that differs from the spec's.
    """

    tag: str
    uri: str
    sha256: str = ""
    license: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict, hash=False)
    default: bool = False
    classes: int = 0
    input: ImageInput | TextInput | None = None


@dataclass(frozen=True, kw_only=True)
class BackboneSpec(JsonData):
    """A row of the catalogue: the description of a backbone.

    Attributes:
        name: Within the plugin's namespace when the plugin states it (``resnet18``), canonical
            when the registry hands it out (``torchvision/resnet18``).
        modality: One of :data:`INPUTS`.
        feature_dim: Width of ``features(batch)``, that is ``in_features`` of the head.
        params: Number of parameters with the published head; 0 where it is not known.
        input: How the input is prepared.
        loader: ``module:function``; imported only when the backbone is built. Called as
            ``function(spec, weights)`` with a :class:`Weights` or ``None`` (random parameters),
            it returns a :class:`zoo.Backbone`.
        weights: The pretrained parameters on offer; at most one is the default.
        license: SPDX identifier of the architecture's code.
        paper: Address of the paper that describes it.
        tags: Free words to search by.
        config: The loader's own options, as JSON data; recorded with every run, so that a run
            folder alone rebuilds its network.
    """

    name: str
    modality: str
    feature_dim: int
    params: int
    input: ImageInput | TextInput
    loader: str
    weights: tuple[Weights, ...] = ()
    license: str = ""
    paper: str = ""
    tags: tuple[str, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        _require(bool(self.name) and self.name == self.name.strip(), f"the name {self.name!r}")
        _require(self.modality in INPUTS, f"the modality {self.modality!r}")
        fits = isinstance(self.input, INPUTS[self.modality])
        _require(fits, f"an input of {type(self.input).__name__}")
        _require(self.feature_dim >= 1, f"a feature_dim of {self.feature_dim}")
        counted = isinstance(self.params, int)  # other kinds are refused by the index, by name
        _require(not counted or self.params >= 0, f"{self.params} params")
        _require(":" in self.loader, f"the loader {self.loader!r}")
        _require(sum(w.default for w in self.weights) <= 1, "several default weights")
        tags = [w.tag for w in self.weights]
        _require(len(tags) == len(set(tags)), "two weights of one tag")

    @property
    def plugin(self) -> str:
        """The namespace of a canonical name: ``torchvision`` of ``torchvision/resnet18``."""
        head, slash, _ = self.name.partition("/")
        return head if slash and ":" not in head else ""

    @property
    def arch(self) -> str:
        """The name without its namespace: ``resnet18`` of ``torchvision/resnet18``."""
        return self.name.removeprefix(f"{self.plugin}/") if self.plugin else self.name

    @property
    def image_input(self) -> ImageInput:
        """``input`` of a backbone for images."""
        assert isinstance(self.input, ImageInput)
        return self.input

    @property
    def text_input(self) -> TextInput:
        """``input`` of a backbone for texts."""
        assert isinstance(self.input, TextInput)
        return self.input

    @property
    def default_weights(self) -> Weights | None:
        """The weights that ``--weights auto`` takes, or ``None`` where there are none."""
        return next((w for w in self.weights if w.default), None)

    def in_namespace(self, plugin: str) -> BackboneSpec:
        """A copy with the canonical name, as the registry hands it out."""
        return replace(self, name=f"{plugin}/{self.name}")

    def with_input(self, **changes: Any) -> BackboneSpec:
        """A copy whose input has some fields changed, e.g. ``spec.with_input(size=64)``."""
        return replace(self, input=replace(self.input, **changes))


def is_range(values: Sequence[float]) -> bool:
    """Whether these are the values of black and of white, or none."""
    return not values or (len(values) == 2 and -inf < values[0] < values[1] < inf)


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise ContractError(f"invalid spec: {what}")


def _encode(value: Any) -> Any:
    if isinstance(value, JsonData):
        return value.to_json()
    if isinstance(value, Mapping):
        return {str(k): _encode(v) for k, v in value.items()}
    if isinstance(value, (tuple, list)):
        return [_encode(v) for v in value]
    return value


@cache
def _decoders(cls: type) -> dict[str, Any]:
    hints = typing.get_type_hints(cls)
    return {f.name: _decoder(hints[f.name]) for f in dataclasses.fields(cls)}


def _decoder(hint: Any) -> Any:
    """A function from JSON data to a value of the type ``hint``."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return _decode_input
    if origin is tuple:
        inner = _decoder(args[0])
        return lambda value: tuple(inner(v) for v in _of_kind(value, list, tuple))
    if isinstance(hint, type) and issubclass(hint, JsonData):
        return hint.from_json
    if origin is Literal:
        return lambda value: args[args.index(value)]
    if hint is float:
        return lambda value: _of_kind(value, float, int)
    if isinstance(hint, type):
        return lambda value: _of_kind(value, hint)
    return lambda value: _of_kind(value, Mapping)


def _of_kind(value: Any, *kinds: type) -> Any:
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        raise TypeError(f"{str(value)[:80]!r} is not a {kinds[0].__name__}")
    return value


def _decode_input(value: Any) -> ImageInput | TextInput | None:
    if value is None:
        return None
    kind = TextInput if "max_length" in _of_kind(value, Mapping) else ImageInput
    return kind.from_json(value)


@cache
def _warn_unknown(cls: str, key: str) -> None:
    warnings.warn(
        f"{cls} has a field {key!r} that this version of zoo does not know; it is ignored",
        stacklevel=3,
    )
