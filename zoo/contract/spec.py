"""Specifications of backbones, as plain data without torch.

A plugin publishes :class:`BackboneSpec` rows. They are frozen and keyword-only, and have a lossless
JSON form (``BackboneSpec.from_json(spec.to_json()) == spec``), so that the catalogue can be stored
in an index and a run can record exactly what it was built from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from math import inf
from typing import Any, ClassVar, Literal, Self

from zoo.contract.inputs import InputSpec, JsonData
from zoo.contract.modalities import input_class
from zoo.contract.references import Reference
from zoo.errors import ContractError

Modality = str
Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos"]
CropMode = Literal["center", "squash", "border"]
Pooling = Literal["cls", "mean", "pooler", "last"]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

OWN_LOADER = "zoo:wrap"
"""The loader in the spec of a user's own network, which cannot be built from a run folder alone."""

LARGEST_SIZE = 4096
"""Maximum height and width in pixels: a batch of 64 such images takes 13 GB."""

LARGEST_RESIZED = 2 * LARGEST_SIZE
"""Pixels of a side before the centre crop: such an image takes 0.2 GB."""

LEAST_CROP = 0.1
"""Minimum crop; the smallest in the catalogues is above 0.7."""

MOST_CHANNELS = 1024
"""Hyperspectral sensors have a few hundred."""

LEAST_STD = 1e-7
"""Minimum standard deviation; in 16-bit images it may be far below a thousandth of the range."""


@dataclass(frozen=True, kw_only=True)
class ImageInput(InputSpec):
    """Image input of a network: size and preprocessing.

    Attributes:
        size: Height and width in pixels after cropping.
        channels: Number of bands: 1 for grey, 3 for RGB, 4 for RGBA, or those of a multispectral
            image. A network is built for the channels of its weights; for another number zoo
            adapts its first convolution.
        crop: Fraction of the shorter side that the centre crop keeps, in (0, 1].
        mean: One mean per channel, for values in [0, 1]; ImageNet's by default.
        std: One standard deviation per channel, for values in [0, 1]; ImageNet's by default.
        interpolation: Interpolation for resizing.
        fixed_size: Whether the network is built for images of ``size`` and may not accept others.
            The loader builds it for the size in the spec that it gets.
        min_size: The smallest valid height and width, in pixels.
        multiple_of: Height and width must be multiples of this many pixels.
        crop_mode: ``center``: resize the shorter side, then crop. ``squash``: resize both
            sides, whatever the aspect ratio. ``border``: pad the shorter side.
        value_range: The values of black and white in images with more than 8 bits per pixel; empty
            for 8-bit images.
        flip: Whether training may mirror images. Not valid for writing, spectrograms, or classes
            that differ in left and right.
        random_crop: Whether training may crop images at random.
    """

    modality: ClassVar[str] = "image"

    size: int = field(default=224, kw_only=False)
    channels: int = 3
    crop: float = 0.875
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    interpolation: Interpolation = "bilinear"
    fixed_size: bool = False
    min_size: int = 1
    multiple_of: int = 1
    crop_mode: CropMode = "center"
    value_range: tuple[float, ...] = ()
    flip: bool = True
    random_crop: bool = True

    def __post_init__(self) -> None:
        for name in ("size", "min_size", "multiple_of"):
            _require_range(name, getattr(self, name), 1, LARGEST_SIZE)
        _require_range("crop", self.crop, LEAST_CROP, 1)
        _require_range("size / crop", round(self.size / self.crop), 1, LARGEST_RESIZED)
        _require_range("channels", self.channels, 1, MOST_CHANNELS)
        for name, usual in (("mean", IMAGENET_MEAN), ("std", IMAGENET_STD)):
            if getattr(self, name) == usual and self.channels != len(usual):
                object.__setattr__(self, name, for_channels(usual, self.channels))
        _require(
            is_range(self.value_range),
            f"value_range must be (black, white) or empty, got {self.value_range}",
        )

    @property
    def flaw(self) -> str:
        """Why mean or std is not valid; empty if they are."""
        for name in ("mean", "std"):
            count = len(getattr(self, name))
            if count != self.channels:
                return f"{name} must have one value per channel, got {count} for {self.channels}"
        if not all(0 <= mean <= 1 for mean in self.mean):
            return f"mean must be in [0, 1] (divide by 255), got {self.mean}"
        if not all(LEAST_STD <= std <= 1e3 for std in self.std):
            return f"std must be greater than 0, got {self.std}"
        return ""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`to_json`.

        Raises:
            ContractError: A field is missing, or a value is not valid.
        """
        made = super().from_json(data)
        _require(not made.flaw, made.flaw)
        return made

    @staticmethod
    def in_short(given: Mapping[str, Any]) -> str:
        """The size in a few characters, of the JSON form."""
        return f"{given['size']} px"

    def example(self) -> Mapping[str, tuple[tuple[int, ...], str]]:
        """As of :class:`InputSpec`."""
        side = self.size if self.fixed_size else min(self.size, self.fitting(64))
        return {"pixel_values": ((len(self.mean), side, side), "float32")}

    def fitting(self, size: int) -> int:
        """Return the smallest valid height and width of at least ``size``."""
        least = max(size, self.min_size)
        return -(-least // self.multiple_of) * self.multiple_of


@dataclass(frozen=True, kw_only=True)
class TextInput(InputSpec):
    """Text input of a network.

    Attributes:
        max_length: The maximum number of tokens, including special tokens.
        pooling: How token vectors are pooled into one: the first token's (``cls``), the masked
            mean (``mean``), the last token's (``last``), or the published network's own pooling
            layer (``pooler``).
        vocab_size: Rows of the token embedding. If ``own_tokenizer`` is false, the maximum size of
            the tokenizer that is trained on the data; the loader gets its real size.
        own_tokenizer: Whether the loaded backbone has a tokenizer. If not, one is trained on the
            training split and saved with the run.
        pad_id: The id of the padding token.
        usual_length: The publisher's maximum length in tokens, used without ``--max-length``; 0
            for 512.
        longest: For a run trained with a smaller ``max_length``, the network's maximum number of
            tokens; 0 for ``max_length``.
        own_pooling: Whether ``pooling`` cannot be changed, so that ``--pooling`` is an error.
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
        _require(self.max_length >= 1, f"max_length must be at least 1, got {self.max_length}")
        _require(self.vocab_size >= 1, f"vocab_size must be at least 1, got {self.vocab_size}")

    @staticmethod
    def in_short(given: Mapping[str, Any]) -> str:
        """The length in a few characters, of the JSON form."""
        return f"{given['max_length']} tok"

    def example(self) -> Mapping[str, tuple[tuple[int, ...], str]]:
        """As of :class:`InputSpec`."""
        length = min(16, self.max_length)
        return {"input_ids": ((length,), "int64"), "attention_mask": ((length,), "int64")}

    @property
    def needs_tokenizer(self) -> bool:
        """Whether a tokenizer is trained on the data, and saved with the run."""
        return not self.own_tokenizer


@dataclass(frozen=True, kw_only=True)
class Weights(JsonData):
    """A named set of pretrained parameters.

    Attributes:
        tag: Name of these weights, unique within the backbone, e.g. ``IMAGENET1K_V1``.
        uri: ``https://…`` (cached by torch.hub), ``hf:<org>/<name>[/<file>]`` (cached by the Hub
            client), ``package:<package>/<file>`` (in an installed Python package, such as the
            plugin itself), or the path of a local file or folder.
        sha256: The leading hexadecimal digits that the publisher states, or all 64; empty if none
            are stated.
        license: SPDX identifier of the weights' license; empty if the publisher states none.
        metrics: Published metrics by ``dataset/metric``, in the publisher's unit.
        default: Whether ``--weights auto`` uses these.
        classes: Number of outputs of the published head; 0 if there is none, or it is unknown.
        input: The input for these weights, if it differs from the spec's.
        lacks: Patterns of tensors that are missing from the file, or have no valid values there
            (``classifier.*``). They are initialised randomly, with a note to the user; any other
            missing tensor is an error.
        config: Name of a JSON file next to the weights whose entries replace those of the spec's
            ``config``, e.g. ``config.json``; empty if there is none.
    """

    tag: str
    uri: str
    sha256: str = ""
    license: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict, hash=False)
    default: bool = False
    classes: int = 0
    input: InputSpec | None = None
    lacks: tuple[str, ...] = ()
    config: str = ""


@dataclass(frozen=True, kw_only=True)
class BackboneSpec(JsonData):
    """The description of a backbone: a row of the catalogue.

    Attributes:
        name: Name within the plugin's namespace (``resnet18``); in specs from the registry, the
            canonical name (``torchvision/resnet18``).
        input: The input, and how it is preprocessed.
        modality: The name of a registered modality; that of ``input`` by default.
        feature_dim: Width of ``features(batch)``, the ``in_features`` of the head. If it is not
            stated, it is measured when the backbone is built; ``zoo check --fix`` writes it.
        params: Number of parameters including the published head; measured likewise.
        loader: ``module:function``, or the function itself, which is stored as such a string;
            imported only when the backbone is built. ``function(spec)`` builds the network with
            random weights and returns a :class:`zoo.Backbone`; zoo loads the weights.
        weights: The available pretrained weights; at most one is the default.
        license: SPDX identifier of the architecture's code.
        paper: URL of the paper that describes it.
        tags: Search terms.
        config: Options of the loader, as JSON data; recorded with every run, so that the network
            can be rebuilt from a run folder alone.
    """

    name: str
    input: InputSpec
    modality: str = ""
    feature_dim: int = 0
    params: int = 0
    loader: Reference = Reference()
    weights: tuple[Weights, ...] = ()
    license: str = ""
    paper: str = ""
    tags: tuple[str, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        stripped = bool(self.name) and self.name == self.name.strip()
        _require(
            stripped, f"name must not be empty or begin or end with a space, got {self.name!r}"
        )
        kind = type(self.input).__name__
        _require(isinstance(self.input, InputSpec), f"input must be an InputSpec, got {kind}")
        if not self.modality:
            object.__setattr__(self, "modality", self.input.modality)
        _require(
            self.input.modality == self.modality,
            f"input is of type {kind}, but the modality is {self.modality!r}",
        )
        _require(self.feature_dim >= 0, f"feature_dim must be at least 0, got {self.feature_dim}")
        counted = isinstance(self.params, int)  # the index rejects other types, with the name
        _require(not counted or self.params >= 0, f"params must be at least 0, got {self.params}")
        _require(":" in self.loader, f"loader must be 'module:function', got {self.loader!r}")
        _require(
            sum(w.default for w in self.weights) <= 1, "only one of weights may be the default"
        )
        tags = [w.tag for w in self.weights]
        _require(len(tags) == len(set(tags)), "two weights have the same tag")

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`to_json`; inputs are of the modality's class.

        Raises:
            ContractError: The modality is unknown, a field is missing, or a value has the wrong
                type.
        """
        if not isinstance(data, Mapping) or "modality" not in data:
            return super().from_json(data)  # which says what is missing
        kind = input_class(data["modality"])
        return super().from_json(_with_input(data, kind))

    @property
    def flaw(self) -> str:
        """Why its inputs, or those of its weights, are not valid; empty if they are."""
        inputs = [self.input, *(weights.input for weights in self.weights)]
        return next((each.flaw for each in inputs if each is not None and each.flaw), "")

    def require_valid(self) -> None:
        """Raise a :class:`ContractError` if its inputs are not valid."""
        if self.flaw:
            raise ContractError(
                f"the spec of {self.name} is not valid: {self.flaw}",
                hint="ImageInput takes one mean and one std per channel, of values in [0, 1].",
            )

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
        """The weights that ``--weights auto`` uses; ``None`` without default weights."""
        return next((w for w in self.weights if w.default), None)

    def in_namespace(self, plugin: str) -> BackboneSpec:
        """Return a copy with the canonical name in a namespace."""
        return replace(self, name=f"{plugin}/{self.name}")

    def with_input(self, **changes: Any) -> BackboneSpec:
        """Return a copy with some fields of the input changed, e.g. ``spec.with_input(size=64)``."""
        return replace(self, input=replace(self.input, **changes))


def _with_input(data: Mapping[str, Any], kind: type[InputSpec]) -> dict[str, Any]:
    """Return JSON data with its inputs, and those of its weights, decoded to ``kind``."""
    decoded = dict(data)
    if isinstance(given := data.get("input"), Mapping):
        if given and not given.keys() & {each.name for each in fields(kind)}:
            raise ContractError(
                f"invalid spec: input has the unknown fields {', '.join(map(str, given))}",
                hint=f"Use the fields that {kind.__name__}.to_json() writes.",
            )
        decoded["input"] = kind.from_json(given)
    if isinstance(data.get("weights"), (list, tuple)):
        decoded["weights"] = [
            _with_input(each, kind) if isinstance(each, Mapping) else each
            for each in data["weights"]
        ]
    return decoded


def for_channels(values: Sequence[float], channels: int) -> tuple[float, ...]:
    """Adapt RGB values to more channels by appending their mean; for fewer, use the mean alone."""
    average = sum(values) / len(values)
    if channels < len(values):
        return (average,) * channels
    return (*values, *[average] * (channels - len(values)))


def is_range(values: Sequence[float]) -> bool:
    """Whether these are the values of black and of white, or none."""
    return not values or (len(values) == 2 and -inf < values[0] < values[1] < inf)


def _require_range(name: str, value: float, least: float, most: float) -> None:
    _require(least <= value <= most, f"{name} must be between {least} and {most}, got {value}")


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise ContractError(f"invalid spec: {what}")
