"""What a search varies: a table of dimensions, around the defaults of each backbone."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from zoo.engine.recipe import Recipe, foreign_options

if TYPE_CHECKING:
    from optuna import Trial

ALL_TRAIN = ("two-stage", "full")
"""Strategies that train all of the backbone's parameters, with layer-wise learning rates."""


@dataclass(frozen=True, kw_only=True)
class Dimension:
    """A hyperparameter that is searched.

    Attributes:
        option: Its name, as a keyword of :func:`zoo.finetune`.
        choices: Its values; empty for a range.
        low: Least value of a range, whose scale is logarithmic.
        high: Greatest value.
        relative: Whether values are factors on the default.
        strategies: Strategies that use it; empty for all.
        pretrained: Whether only backbones with weights have it.
    """

    option: str
    choices: Sequence[Any] = ()
    low: float = 0.0
    high: float = 0.0
    relative: bool = False
    strategies: Sequence[str] = ()
    pretrained: bool = False

    def suggest(self, trial: Trial) -> Any:
        """A value, by the sampler of the trial."""
        if self.choices:
            return trial.suggest_categorical(self.option, list(self.choices))
        return trial.suggest_float(self.option, self.low, self.high, log=True)


SPACE: Sequence[Dimension] = (
    Dimension(option="strategy", choices=(*ALL_TRAIN, "last:2", "lora"), pretrained=True),
    Dimension(option="lr", low=0.1, high=10.0, relative=True),
    Dimension(option="layer_decay", low=0.5, high=1.0, strategies=ALL_TRAIN, pretrained=True),
    Dimension(option="weight_decay", low=0.005, high=0.5),
    Dimension(option="augment", choices=("none", "trivial")),
    Dimension(option="image_size", choices=(0.75, 1.0, 1.25), relative=True),
)


@dataclass(frozen=True)
class StartingPoint:
    """What a search knows of a backbone before it fine-tunes it.

    Attributes:
        name: Name to type.
        modality: Modality of its inputs.
        pretrained: Whether it starts from weights.
        side: Height and width of its images by default; 0 for other inputs.
    """

    name: str
    modality: str
    pretrained: bool
    side: int = 0

    def default(self, strategy: str | None = None) -> Recipe:
        """The default recipe."""
        return Recipe.default(self.modality, pretrained=self.pretrained, strategy=strategy)


def dimensions(modality: str, fixed: Collection[str]) -> tuple[Dimension, ...]:
    """The dimensions for a kind of data, without the options that the user has given."""
    foreign = foreign_options(modality)
    return tuple(each for each in SPACE if each.option not in {*fixed, *foreign})


def usual(start: StartingPoint, space: Sequence[Dimension]) -> dict[str, Any]:
    """The point of the defaults, as a trial's parameters."""
    recipe = start.default()
    point: dict[str, Any] = {"backbone": start.name}
    for each in space:
        point[each.option] = 1.0 if each.relative else getattr(recipe, each.option)
    return point


def suggested(
    trial: Trial, start: StartingPoint, space: Sequence[Dimension], strategy: str | None
) -> dict[str, Any]:
    """The options of a fine-tune, without those that are as by default.

    Args:
        trial: Gives the values.
        start: The backbone.
        space: What is searched.
        strategy: The strategy that the user has given, if any.
    """
    options: dict[str, Any] = {}
    for each in space:
        if each.pretrained and not start.pretrained:
            continue
        chosen = options.get("strategy", strategy or start.default().strategy)
        if each.strategies and chosen not in each.strategies:
            continue
        recipe = start.default(chosen)
        value = each.suggest(trial)
        default = start.side if each.option == "image_size" else getattr(recipe, each.option)
        if each.relative:
            value = _scaled(default, value)
        elif isinstance(value, float):
            value = float(f"{value:.2g}")
        if value != default:
            options[each.option] = value
    return options


def _scaled(default: float, factor: float) -> float:
    """``default`` times ``factor``: a size in steps of 8 pixels, or two digits."""
    if factor == 1.0:
        return default
    if isinstance(default, int):
        return max(8, 8 * round(default * factor / 8))
    return float(f"{default * factor:.2g}")


def to_json(space: Sequence[Dimension]) -> list[Mapping[str, Any]]:
    """The space, to compare with that of another search."""
    return [
        {"option": each.option, "choices": list(each.choices), "low": each.low, "high": each.high}
        for each in space
    ]
