"""What a user asks of a fine-tune, checked, and kept in ``run.json`` so that it can be repeated."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, Self, get_args

from zoo.contract.spec import Pooling, is_range
from zoo.data.cells import Wish
from zoo.data.columns import ColumnNames
from zoo.data.demo import demo_data
from zoo.data.dialects import Quoting
from zoo.data.opening import open_data
from zoo.data.reports import BadFiles
from zoo.data.samples import Renamed, Samples, Splits
from zoo.engine.compiled import COMPILES
from zoo.engine.precision import PRECISIONS
from zoo.engine.recipe import Recipe
from zoo.errors import RunError, UsageError

_OF_PICTURES = (
    *("image_size", "resize", "value_range", "augment", "mixup", "cutmix", "cached_views"),
    "cache_images",
)
_OF_TEXTS = ("max_length", "pooling")
FLAGS = {"value_range": "range"}
"""Options whose flag has another name."""

Resize = Literal["crop", "pad", "squash"]
"""How images become square: the centre of them, all of them with a border, or all of them squashed."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the user asked for; the fields are arguments of :func:`zoo.finetune`.

    Attributes:
        given: How the user named ``data`` where that is a relative path; predictions name samples so.
        wishes: Fields of the recipe that are to be other than the default.
    """

    backbone: str
    data: str | None = None
    classes: int | None = None
    head: str = "linear"
    weights: str = "auto"
    precision: str = "auto"
    compile: str = "off"
    image_size: int | None = None
    resize: Resize | None = None
    value_range: tuple[float, float] | None = None
    max_length: int | None = None
    pooling: Pooling | None = None
    text_column: ColumnNames = None
    label_column: ColumnNames = None
    task: Wish = "auto"
    val_split: float = 0.2
    bad_files: BadFiles = "error"
    quoting: Quoting | None = None
    dedupe: bool = False
    surgery: str | None = None
    device: str = "auto"
    workers: int | None = None
    cache_images: bool | None = None
    given: str | None = None
    wishes: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0 < self.val_split < 1:
            raise UsageError(
                f"--val-split {self.val_split:g} cannot be", hint="Give a share between 0 and 1."
            )
        for option, choices in (("precision", PRECISIONS), ("compile", COMPILES)):
            if getattr(self, option) not in choices:
                raise UsageError(
                    f"--{option} {getattr(self, option)} cannot be",
                    hint=f"Give one of {', '.join(choices)}.",
                )
        for option, least in (("classes", 2), ("image_size", 1), ("max_length", 1), ("workers", 0)):
            value = getattr(self, option)
            if value is not None and value < least:
                name = option.replace("_", "-")
                raise UsageError(f"--{name} {value} cannot be", hint=f"Give {least} or more.")
        if self.resize is not None and self.resize not in get_args(Resize):
            raise UsageError(
                f"--resize {self.resize} is not valid",
                hint=f"Give one of {', '.join(get_args(Resize))}.",
            )
        if self.value_range is not None and not is_range(self.value_range):
            given = " ".join(f"{value:g}" for value in self.value_range)
            raise UsageError(
                f"--range {given} is not valid",
                hint="Give the value of black, then the greater one of white: --range 0 4095.",
            )
        self.recipe(Recipe.default("image", pretrained=False))  # numbers that cannot be

    @property
    def seed(self) -> int:
        """Of everything random."""
        return int(self.wishes.get("seed") or 0)

    @property
    def strategy(self) -> str | None:
        """The strategy that was asked for, if one was."""
        return self.wishes.get("strategy")

    def recipe(self, default: Recipe) -> Recipe:
        """The default recipe with what the user asked for.

        Raises:
            UsageError: A number that cannot be.
        """
        return default.changed(**self.wishes)

    def refuse_for(self, modality: str) -> None:
        """Raise a :class:`UsageError` for an option that does nothing for such inputs."""
        strange: tuple[str, ...] = _OF_PICTURES
        own, other = "texts", "pictures"
        if modality == "image":
            own, other, strange = other, own, _OF_TEXTS
        for option in strange:
            if self.wishes.get(option, getattr(self, option, None)) not in (None, 0, "none"):
                name = FLAGS.get(option, option).replace("_", "-")
                raise UsageError(
                    f"--{name} is for {other}, and {self.backbone} takes {own}",
                    hint=f"Leave --{name} out.",
                )

    def of(self, options: Iterable[str]) -> dict[str, Any]:
        """Those of some options that are fields here, by name."""
        known = {f.name for f in fields(self)}
        return {name: getattr(self, name) for name in options if name in known}

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON data; paths are absolute, so that they hold wherever one works."""
        data = {f.name: getattr(self, f.name) for f in fields(self)}
        wishes = {key: value for key, value in self.wishes.items() if value is not None}
        return {
            **data,
            "backbone": _anchored_name(self.backbone),
            "data": self.data and _anchored(self.data),
            "given": self.given or self._relative(),
            "weights": _anchored(self.weights),
            "wishes": wishes,
        }

    def _relative(self) -> str | None:
        """``data`` where they are a path that leads elsewhere from another folder."""
        data = self.data
        return data if data and _anchored(data) != data and not data.startswith("~") else None

    def names(self, samples: Samples) -> Samples:
        """``samples`` of the data, called as if they had been opened by the name the user gave."""
        if self.given is None or self.data is None:
            return samples
        # Pictures of a table are called after the folder that it lies in.
        given, data = Path(self.given), Path(self.data)
        pairs = ((str(data), str(given)), (str(data.parent), str(given.parent)))
        return replace(samples, inputs=Renamed(samples.inputs, pairs))

    @classmethod
    def from_json(cls, data: Any) -> Self:
        """The inverse of :meth:`to_json`.

        Raises:
            RunError: It is not the JSON form of a request.
        """
        try:
            known = {f.name for f in fields(cls)}
            given = {key: _tupled(value) for key, value in data.items() if key in known}
            wishes = {key: _tupled(value) for key, value in data["wishes"].items()}
            return cls(**given | {"wishes": wishes})
        except (TypeError, LookupError, AttributeError) as error:
            raise RunError(f"the request in run.json cannot be read: {error}") from error

    def open(self, modality: str) -> Splits:
        """The data that were asked for, or the demo data.

        Raises:
            ZooError: Anything about them that the user can put right.
        """
        if self.data is None:
            if self.task not in ("auto", "single-label"):
                raise UsageError(
                    f"the demo data have one class a sample, and are no {self.task}",
                    hint="Give your own with --data PATH.",
                )
            self._refuse_for_demo()
            return demo_data(modality, classes=self.classes, seed=self.seed)
        return open_data(
            self.data,
            modality=modality,
            need="train",
            classes=self.classes,
            val_split=self.val_split,
            seed=self.seed,
            text_column=self.text_column,
            label_column=self.label_column,
            task=self.task,
            bad_files=self.bad_files,
            quoting=self.quoting,
            dedupe=self.dedupe,
        )

    def _refuse_for_demo(self) -> None:
        """Raise a :class:`UsageError` for an option about data, which demo data have no use for."""
        usual = {field.name: field.default for field in fields(self)}
        for option in ("text_column", "label_column", "val_split", "bad_files", "dedupe"):
            if getattr(self, option) != usual[option]:
                name = f"--{option.replace('_', '-')}"
                raise UsageError(
                    f"{name} is for data of your own, and none were given",
                    hint=f"Give them with --data PATH, or leave {name} out.",
                )

    def but(self, **changes: Any) -> Self:
        """A copy with other values; what is ``None`` stays as it is."""
        return replace(self, **{key: value for key, value in changes.items() if value is not None})


def _tupled(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _anchored(value: str) -> str:
    """A path that exists, made absolute; else the value."""
    path = Path(os.path.expanduser(value))
    return os.path.abspath(path) if os.path.exists(path) else value


def _anchored_name(name: str) -> str:
    """A backbone's name; the path behind a scheme (``path:folder``) is made absolute.

    A plain name stays as it is, whatever folder of that name there may be.
    """
    scheme, colon, rest = name.partition(":")
    return f"{scheme}:{_anchored(rest)}" if colon else name
