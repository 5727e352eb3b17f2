"""The options of a fine-tune, checked, and kept in ``run.json`` to repeat it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

from zoo.contract.input_options import are_texts, as_texts, with_options
from zoo.contract.spec import Pooling, is_range
from zoo.data.group_source import GroupSource
from zoo.data.memory.source import source_name
from zoo.engine.hyperparameters import Hyperparameter, check, option, refuse_unknown, rows
from zoo.engine.presets import PRESETS
from zoo.engine.recipe import Recipe
from zoo.errors import RunError, UsageError
from zoo.system.durations import is_duration, seconds_of

if TYPE_CHECKING:
    from zoo.contract.input_options import InputOptions
    from zoo.contract.spec import BackboneSpec
    from zoo.data.memory.source import DataSource
    from zoo.data.reports import BadFiles
    from zoo.data.sources.columns import ColumnNames
    from zoo.data.sources.dialects import Quoting

_NOT_PRIVATE = {
    "folds": "each fold would spend epsilon, and out-of-fold predictions are of training samples",
    "time_limit": "the noise is chosen for a number of steps",
    "class_weights": "the class frequencies that it uses are not private",
    "keep_head": "the head starts from zeros",
}
Resize = Literal["crop", "pad", "squash"]
"""How images are made square: centre crop, padding, or squashing."""

_DATA, _MODEL, _RUN = "Data", "Model", "Run and hardware"


@dataclass(frozen=True, kw_only=True)
class Request:
    """The user's options; each is a keyword of :func:`zoo.finetune`.

    Attributes:
        backbone: As in ``zoo list``.
        given: ``data`` as the user typed it, if a relative path; predictions name samples by it.
        surgery: Name of the function that changes the backbone before it trains.
        measured: The batch size that the run measured when it started, to resume or repeat it.
        compiled: Which steps of the run to repeat were compiled.
        streamed: Whether it decided then to decode inputs on the device in every epoch.
        cuts: What the time limit of the run to repeat decided.
        teacher: The run whose outputs take the place of labels, in a distillation.
        temperature: Divides the logits of student and teacher there.
        fold: Which of ``folds`` the run is, from 1; ``None`` for the run that has them.
        overrides: Fields of the recipe that differ from the default.
    """

    backbone: str
    data: str | None = option(
        "Folder, table, or hf:NAME (default: demo data).",
        section="Common options",
        metavar="PATH",
        default=None,
    )
    classes: int | None = option(
        "Number of classes the data must have; for the demo data, how many to use.",
        section=_DATA,
        metavar="N",
        at_least=2,
        also=("num_classes", "num_labels"),
        default=None,
    )
    task: str = option(
        "auto (default: single- or multi-label, as the labels are), single-label, multi-label, "
        "regression, or a plugin's.",
        section=_DATA,
        metavar="NAME",
        default="auto",
    )
    text_column: ColumnNames = option(
        "Input column: texts or image paths; twice for text pairs.",
        section=_DATA,
        metavar="NAME",
        several=True,
        own_data=True,
        default=None,
    )
    label_column: ColumnNames = option(
        "Label column; repeat for several targets, or one 0/1 column per label.",
        section=_DATA,
        metavar="NAME",
        several=True,
        own_data=True,
        default=None,
    )
    val_split: float = option(
        "Fraction held out for validation if the data has no split (default: 0.2).",
        section=_DATA,
        metavar="SHARE",
        above=0,
        below=1,
        own_data=True,
        default=0.2,
    )
    test_split: float = option(
        "Fraction set aside for a later test if the data has no test split (default: 0).",
        section=_DATA,
        metavar="SHARE",
        at_least=0,
        below=1,
        own_data=True,
        default=0.0,
    )
    bad_files: BadFiles = option(
        "What to do with unreadable files and rows (default: error).",
        section=_DATA,
        choices=("error", "skip"),
        own_data=True,
        default="error",
    )
    quoting: Quoting | None = option(
        "Quoting in CSV and TSV tables (default: detected).",
        section=_DATA,
        choices=("auto", "double", "backslash", "none"),
        own_data=True,
        default=None,
    )
    dedupe: bool = option(
        "Drop training samples that also occur in validation or test.",
        section=_DATA,
        own_data=True,
        default=False,
    )
    group_column: str | None = option(
        "Column of groups, such as patients: no split or fold divides a group.",
        section=_DATA,
        metavar="NAME",
        own_data=True,
        default=None,
    )
    group_pattern: str | None = option(
        "Groups by file path: a regular expression, such as 'patient_([0-9]+)'.",
        section=_DATA,
        metavar="REGEX",
        own_data=True,
        default=None,
    )
    group_table: str | None = option(
        "Groups by file path: a table of paths and groups, for data in folders.",
        section=_DATA,
        metavar="FILE",
        own_data=True,
        default=None,
    )
    corrections: str | None = option(
        "Decisions of 'zoo clean': a CSV of samples to relabel or drop.",
        section=_DATA,
        metavar="FILE",
        own_data=True,
        default=None,
    )
    folds: int | None = option(
        "Cross-validate: train K times, each time validating on another part of the data.",
        section=_DATA,
        metavar="K",
        at_least=2,
        default=None,
    )
    image_size: int | None = option(
        "Height and width of the images.", section=_DATA, metavar="PIXELS", at_least=1, default=None
    )
    channels: int | None = option(
        "Channels of the images: 1, 3 (default), 4, …; by default also those of multispectral images.",
        section=_DATA,
        metavar="N",
        at_least=1,
        below=1025,
        default=None,
    )
    resize: Resize | None = option(
        "How images are made square (default: as the weights were trained).",
        section=_DATA,
        choices=get_args(Resize),
        default=None,
    )
    value_range: tuple[float, float] | None = option(
        "Black and white level of images deeper than 8 bits (default: from the training images).",
        section=_DATA,
        metavar="LOW HIGH",
        kind=float,
        flag="range",
        count=2,
        holds=is_range,
        expected="two numbers, black below white",
        default=None,
    )
    input: InputOptions = option(
        "Input of a plugin's kind of data, such as seconds=5; 'zoo show MODEL' lists the names.",
        section=_DATA,
        metavar="NAME=VALUE",
        several=True,
        holds=are_texts,
        expected="NAME=VALUE, such as seconds=5",
        default=None,
    )
    max_length: int | None = option(
        "Maximum tokens per text; longer texts are truncated.",
        section=_DATA,
        metavar="TOKENS",
        at_least=1,
        default=None,
    )
    pooling: Pooling | None = option(
        "How token vectors are pooled into one text vector.",
        section=_DATA,
        choices=("cls", "mean", "last", "pooler"),
        default=None,
    )
    weights: str = option(
        "Pretrained weights to start from; none trains from scratch.",
        section=_MODEL,
        metavar="auto|none|TAG|PATH",
        also=("pretrained",),
        default="auto",
    )
    head: str = option(
        "linear, mlp, or a plugin's.", section=_MODEL, metavar="NAME", default="linear"
    )
    keep_head: bool | None = option(
        "Starting from a run: keep the head's rows of the classes it knows (default: on).",
        section=_MODEL,
        default=None,
    )
    merge: bool = option(
        "Save the whole network with the adapter merged into it, not the adapter alone.",
        section=_MODEL,
        default=False,
    )
    surgery: str | None = None
    measured: int | None = None
    compiled: Sequence[Mapping[str, Any]] | None = None
    streamed: bool | None = None
    cuts: Sequence[Sequence[int]] | None = None
    fold: int | None = None
    teacher: str | None = None
    temperature: float = 1.0
    preset: str | None = option(
        "Other defaults: fast (linear probe), balanced, best (longer, augmentation, average of weights).",
        section="Common options",
        choices=tuple(PRESETS),
        default=None,
    )
    time_limit: str | float | None = option(
        "End within this time, report included: trains as many of the epochs as fit, e.g. 90, 30m, 2h.",
        section="Common options",
        metavar="SECONDS|30m",
        holds=is_duration,
        expected="a time greater than 0, such as 90, 90s, 30m or 2h",
        default=None,
    )
    precision: str = option(
        "Numerical precision (default: auto, bf16 or fp16 where fast).",
        section=_RUN,
        choices=("auto", "fp32", "bf16", "fp16"),
        default="auto",
    )
    compile: str = option(
        "Use torch.compile; auto (default): on a GPU, where it saves more time than it takes.",
        section=_RUN,
        choices=("auto", "on", "off"),
        default="auto",
    )
    device: str = option(
        "Device: auto (default), cpu, cuda, cuda:1, …", section=_RUN, metavar="NAME", default="auto"
    )
    workers: int | None = option(
        "Number of data-loading processes.",
        section=_RUN,
        metavar="N",
        at_least=0,
        also=("num_workers",),
        default=None,
    )
    cache_images: bool | None = option(
        "Cache decoded images (default: where it pays off).", section=_RUN, default=None
    )
    augment_on: str | None = option(
        "Where batches are augmented (default: auto, on an accelerator the device).",
        section=_RUN,
        choices=("auto", "device", "workers"),
        default=None,
    )
    given: str | None = None
    overrides: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "input", as_texts(self.input))
        check(Request, vars(self))
        check(Recipe, self.overrides)
        if self.time_limit is not None:
            object.__setattr__(self, "time_limit", seconds_of(self.time_limit))
        self._refuse_beside_folds()
        self._refuse_beside_private()

    def _refuse_beside_folds(self) -> None:
        if self.folds and self.val_split != rows(Request)["val_split"].default:
            raise UsageError(
                "--val-split has no effect with --folds: each fold is validated on another part",
                hint="Leave --val-split out.",
            )

        if self.folds and self.time_limit is not None:
            raise UsageError(
                "--time-limit does not work with --folds",
                hint="Leave one of them out; --strategy probe makes folds fast.",
            )

    def _refuse_beside_private(self) -> None:
        given = {**self.overrides, **vars(self)}
        for name, why in _NOT_PRIVATE.items() if self.private else ():
            if given.get(name):
                typed = OPTIONS[name].typed
                raise UsageError(
                    f"{typed} does not work with --private: {why}", hint=f"Leave {typed} out."
                )

    @classmethod
    def from_options(
        cls,
        backbone: str,
        data: DataSource | None,
        options: Mapping[str, Any],
        *,
        surgery: str | None = None,
    ) -> Self:
        """A request for ``options``, by name; ``None`` means the default.

        Raises:
            UsageError: An option is unknown, or its value is not valid.
        """
        refuse_unknown(options, OPTIONS)
        given = {**options, "data": options.get("data") if data is None else source_name(data)}
        values = {name: _plain(value) for name, value in given.items() if value is not None}
        request_fields = {name: value for name, value in values.items() if name not in rows(Recipe)}
        return cls(
            backbone=backbone,
            surgery=surgery,
            **request_fields,
            overrides={name: value for name, value in values.items() if name not in request_fields},
        )

    @property
    def groups(self) -> GroupSource:
        """Where the group of a sample is found."""
        return GroupSource(self.group_column, self.group_pattern, self.group_table)

    @property
    def over_folds(self) -> bool:
        """Whether it is a cross-validation, rather than one of its folds."""
        return self.folds is not None and self.fold is None

    @property
    def seed(self) -> int:
        """The random seed."""
        return int(self.overrides.get("seed") or 0)

    @property
    def strategy(self) -> str | None:
        """The requested strategy, if any; private training is a probe."""
        return self.overrides.get("strategy") or ("probe" if self.private else None)

    @property
    def private(self) -> bool:
        """Whether differential privacy is requested."""
        return self.overrides.get("private") is not None

    def recipe(self, default: Recipe) -> Recipe:
        """The default recipe with the user's options.

        Raises:
            UsageError: Options that exclude each other.
        """
        return default.changed(**self.overrides)

    def refuse_for(self, spec: BackboneSpec) -> None:
        """Raise a :class:`UsageError` for an option that has no effect on such inputs."""
        from zoo.modalities import known_modalities, modality_named

        own = modality_named(spec.modality)
        for other in known_modalities():
            for name in sorted(other.options - own.options):
                value = self.overrides.get(name, getattr(self, name, None))
                if value is not None and OPTIONS[name].is_set(value):
                    typed = OPTIONS[name].typed
                    raise UsageError(
                        f"{typed} is for {other.nouns}, and {self.backbone} takes {own.nouns}",
                        hint=f"Leave {typed} out.",
                    )
        with_options(spec.input, tuple(self.input or ()), self.backbone)

    def of(self, options: Iterable[str]) -> dict[str, Any]:
        """The values of those ``options`` by name; ``None`` for one of the recipe that is not given."""
        known = {f.name for f in fields(self)}
        return {
            name: getattr(self, name) if name in known else self.overrides.get(name)
            for name in options
        }

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON data, with absolute paths."""
        data = {f.name: getattr(self, f.name) for f in fields(self)}
        return {
            **data,
            "backbone": _anchored_name(self.backbone),
            "data": self.data and _anchored(self.data),
            "given": self.given or self._relative(),
            "weights": _anchored(self.weights),
            "teacher": self.teacher and _anchored(self.teacher),
            "group_table": self.group_table and _anchored(self.group_table),
            "corrections": self.corrections and _anchored(self.corrections),
            "overrides": dict(self.overrides),
        }

    def _relative(self) -> str | None:
        """``data``, if it is a relative path."""
        data = self.data
        return data if data and _anchored(data) != data and not data.startswith("~") else None

    @classmethod
    def from_json(cls, data: Any) -> Self:
        """The inverse of :meth:`to_json`.

        Raises:
            RunError: It is not the JSON form of a request.
        """
        try:
            given = {key: _tupled(value) for key, value in data.items()}
            overrides = {key: _tupled(value) for key, value in data["overrides"].items()}
            return cls(**given | {"overrides": overrides})
        except (TypeError, LookupError, AttributeError) as error:
            raise RunError(
                f"'request' in run.json is not valid: {error}",
                hint="Restore run.json from a copy of the run.",
            ) from error

    def but(self, **changes: Any) -> Self:
        """A copy with other values; ``None`` keeps the value."""
        return replace(self, **{key: value for key, value in changes.items() if value is not None})


OPTIONS: Mapping[str, Hyperparameter] = {
    name: row for name, row in rows(Request, Recipe).items() if row.section
}
"""All options, by their keyword in Python, in the order of the help."""


def _plain(value: Any) -> Any:
    """A plain value: lists as tuples, paths as strings, NumPy numbers as Python's."""
    if isinstance(value, list | tuple):
        return tuple(_plain(each) for each in value)
    if isinstance(value, Path):
        return str(value)
    return value.item() if hasattr(value, "item") else value


def _tupled(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _anchored(value: str) -> str:
    """An existing path, made absolute; else the value."""
    path = Path(os.path.expanduser(value))
    return os.path.abspath(path) if os.path.exists(path) else value


def _anchored_name(name: str) -> str:
    """A backbone's name; the path after a scheme (``path:folder``) is made absolute.

    A plain name is kept, even if there is a folder of that name.
    """
    scheme, colon, rest = name.partition(":")
    return f"{scheme}:{_anchored(rest)}" if colon else name
