"""Every hyperparameter of a fine-tune, with its default, range and option."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, Self, get_args

from zoo.contract.adapters import AdapterKind
from zoo.engine.hyperparameters import check, option, rows
from zoo.engine.presets import PRESETS
from zoo.engine.schedules import SCHEDULES
from zoo.errors import UsageError
from zoo.weights.adapter_kinds import ADAPTERS

Solver = Literal["adamw", "lbfgs"]

_COMMON, _MODEL, _OPTIMISATION = "Common options", "Model", "Optimisation"
_REGULARISATION, _IMBALANCE = "Regularisation", "Class imbalance"


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Hyperparameters of a fine-tune; each field declares its help and valid values."""

    strategy: str = option(
        "probe (linear probe), full, two-stage (probe, then full), gradual (unfreeze stage by "
        "stage), last:N (probe, then the last N stages), lora, dora, ia3, bias, norm, or a plugin's.",
        section=_COMMON,
        metavar="NAME",
    )
    epochs: int = option(
        "Number of epochs of the last phase.",
        section=_COMMON,
        metavar="N",
        at_least=1,
        use="strategy",
        head_field="probe_epochs",
        steps="last",
        also=("num_epochs", "num_train_epochs"),
    )
    lr: float = option(
        "Learning rate of the last phase.",
        section=_COMMON,
        metavar="RATE",
        above=0,
        use="strategy",
        head_field="probe_lr",
        steps="last",
        also=("learning_rate",),
    )
    batch_size: int = option(
        "Samples per step (default: 32 on a CPU, else auto); auto: measured for memory and speed.",
        section=_COMMON,
        metavar="N|auto",
        at_least=1,
        words=("auto",),
        use="backbone",
        head_field="probe_batch_size",
        default=32,
    )
    probe_epochs: int = option(
        "Number of epochs of head-only training.", at_least=1, use="strategy", steps="always"
    )
    probe_lr: float = option(
        "Learning rate of head-only training.", above=0, use="strategy", steps="always"
    )
    probe_batch_size: int = option(
        "Samples per step of head-only training.",
        at_least=1,
        use="head steps",
        steps="always",
        default=64,
    )
    fit_memory: bool = option(
        "Whether to double accumulate when memory runs out.", use="backbone", default=False
    )
    base_width: int | None = option(
        "Fan-in up to which a matrix trains at the full learning rate (a filter: twice that); above "
        "it, the rate is proportionally smaller.",
        at_least=1,
        use="steps",
        default=None,
    )
    freeze_until: str | None = option(
        "Freeze all stages up to and including this one.",
        section=_MODEL,
        metavar="STAGE",
        use="lower stages",
        default=None,
    )
    freeze: tuple[str, ...] = option(
        "Freeze this layer; may be repeated.",
        section=_MODEL,
        metavar="LAYER",
        several=True,
        use="backbone",
        header=True,
        default=(),
    )
    unfreeze: tuple[str, ...] = option(
        "Train this layer even if its stage is frozen; may be repeated.",
        section=_MODEL,
        metavar="LAYER",
        several=True,
        use="backbone",
        header=True,
        default=(),
    )
    lora_rank: int = option(
        "Rank of the LoRA matrices (default: 8).",
        section=_MODEL,
        metavar="R",
        at_least=1,
        use="adapter rank",
        default=8,
    )
    lora_alpha: int = option(
        "LoRA scale is A / R (default: 16).",
        section=_MODEL,
        metavar="A",
        at_least=0,
        use="adapter rank",
        default=16,
    )
    lora_dropout: float = option(
        "Dropout on LoRA inputs (default: 0).",
        section=_MODEL,
        metavar="P",
        at_least=0,
        below=1,
        use="adapter dropout",
        default=0.0,
    )
    layer_decay: float = option(
        "Layer-wise learning-rate decay, per stage.",
        section=_OPTIMISATION,
        metavar="FACTOR",
        above=0,
        use="layer decay",
    )
    batch_norm: str = option(
        "Statistics of batch normalisation while the backbone trains: stored (with the weights; "
        "default if there are any) or batch.",
        section=_OPTIMISATION,
        metavar="stored|batch",
        choices=("stored", "batch"),
        use="backbone",
        default="batch",
    )
    accumulate: int = option(
        "Gradient accumulation: split each batch into N parts.",
        section=_OPTIMISATION,
        metavar="N",
        at_least=1,
        use="backbone",
        header=True,
        also=("gradient_accumulation_steps",),
        default=1,
    )
    optimizer: str = option(
        "adamw (default), sgd, adam, nadam, radam, adagrad, …, or a plugin's, such as timm's.",
        section=_OPTIMISATION,
        metavar="NAME",
        use="steps",
        steps="last",
        header=True,
        also=("optim",),
        default="adamw",
    )
    activation_checkpointing: bool = option(
        "Compute activations again in the backward pass: less memory, slower.",
        section=_OPTIMISATION,
        use="backbone",
        header=True,
        also=("gradient_checkpointing",),
        default=False,
    )
    schedule: str = option(
        "Learning-rate schedule: cosine (default), linear, constant, one-cycle.",
        section=_OPTIMISATION,
        metavar="NAME",
        choices=tuple(SCHEDULES),
        use="steps",
        steps="last",
        header=True,
        default="cosine",
    )
    warmup: float = option(
        "Fraction of steps for learning-rate warm-up (default: 0.1).",
        section=_OPTIMISATION,
        metavar="SHARE",
        at_least=0,
        below=1,
        use="steps",
        steps="last",
        also=("warmup_ratio",),
        default=0.1,
    )
    max_grad_norm: float = option(
        "Maximum gradient norm (default: 1).",
        section=_OPTIMISATION,
        metavar="NORM",
        flag="clip",
        above=0,
        use="all steps",
        steps="last",
        default=1.0,
    )
    head_solver: Solver = option(
        "Solver for head-only training: lbfgs (to convergence) or adamw.",
        section=_OPTIMISATION,
        metavar="adamw|lbfgs",
        choices=get_args(Solver),
        use="head",
    )
    cached_views: int = option(
        "Number of augmented views per image to cache frozen features for.",
        section=_OPTIMISATION,
        metavar="K",
        at_least=0,
        use="cached views",
        header=True,
        default=0,
    )
    patience: int | None = option(
        "Early stopping: end a phase after N epochs without improvement.",
        section=_OPTIMISATION,
        metavar="N",
        at_least=1,
        use="all steps",
        header=True,
        also=("early_stopping_patience",),
        default=None,
    )
    metric: str | None = option(
        "Metric that selects the best epoch: accuracy, auroc, auprc, mcc, macro_f1, map, rmse, "
        "top_k:3, …, or a plugin's.",
        section=_OPTIMISATION,
        metavar="NAME",
        default=None,
    )
    loss: str | None = option(
        "Training loss (default: the task's own): generalized-cross-entropy, huber, absolute-error, or a "
        "plugin's.",
        section=_OPTIMISATION,
        metavar="NAME",
        header=True,
        default=None,
    )
    weight_decay: float = option(
        "Weight decay.",
        section=_REGULARISATION,
        metavar="RATE",
        at_least=0,
        use="steps",
        steps="last",
    )
    dropout: float = option(
        "Dropout on the features, before the head.",
        section=_REGULARISATION,
        metavar="P",
        at_least=0,
        below=1,
        use="steps",
        steps="always",
        header=True,
        default=0.0,
    )
    label_smoothing: float = option(
        "Probability spread over all classes.",
        section=_REGULARISATION,
        metavar="P",
        at_least=0,
        below=1,
        header=True,
        default=0.0,
    )
    flip: bool | None = option(
        "Mirror training images at random (default: on, if the data and the network allow it).",
        section=_REGULARISATION,
        use="augmentation",
        header=True,
        default=None,
    )
    random_crop: bool | None = option(
        "Crop training images at random (default: on, if the network allows it).",
        section=_REGULARISATION,
        flag="crop",
        use="augmentation",
        header=True,
        default=None,
    )
    augment: str = option(
        "Augmentation beyond crops and flips: none (default), trivial (TrivialAugment), or a "
        "plugin's.",
        section=_REGULARISATION,
        metavar="NAME",
        use="augmentation",
        header=True,
        default="none",
    )
    mixup: float = option(
        "MixUp strength; 0 is off.",
        section=_REGULARISATION,
        metavar="ALPHA",
        at_least=0,
        use="backbone",
        header=True,
        default=0.0,
    )
    cutmix: float = option(
        "CutMix strength; 0 is off.",
        section=_REGULARISATION,
        metavar="ALPHA",
        at_least=0,
        use="backbone",
        header=True,
        default=0.0,
    )
    l2sp: float = option(
        "L2-SP: penalty on the distance from the pretrained weights.",
        section=_REGULARISATION,
        metavar="ALPHA",
        at_least=0,
        use="backbone",
        header=True,
        default=0.0,
    )
    ema: float = option(
        "Decay of the exponential moving average of the weights, e.g. 0.99.",
        section=_REGULARISATION,
        metavar="DECAY",
        at_least=0,
        below=1,
        use="backbone",
        header=True,
        default=0.0,
    )
    private: float | None = option(
        "Train the head with differential privacy for this epsilon; strategy probe only.",
        section=_REGULARISATION,
        metavar="EPSILON",
        at_least=0.01,
        below=50,
        use="private",
        default=None,
    )
    private_delta: float | None = option(
        "Delta of --private (default: 0.1 / training samples).",
        section=_REGULARISATION,
        metavar="DELTA",
        above=0,
        below=1,
        use="private",
        default=None,
    )
    class_weights: bool = option(
        "Weight the loss by inverse class frequency.",
        section=_IMBALANCE,
        header=True,
        default=False,
    )
    balanced: bool = option(
        "Sample each class equally often.",
        section=_IMBALANCE,
        use="backbone",
        header=True,
        default=False,
    )
    focal: float = option(
        "Gamma of the focal loss, e.g. 2.",
        section=_IMBALANCE,
        metavar="GAMMA",
        at_least=0,
        header=True,
        default=0.0,
    )
    seed: int = option(
        "Random seed (default: 0).", section="Run and hardware", metavar="N", at_least=0, default=0
    )

    def __post_init__(self) -> None:
        check(Recipe, vars(self))
        if self.accumulate > self.batch_size:
            raise UsageError(
                f"--accumulate must be at most the batch size, {self.batch_size}, "
                f"got {self.accumulate}",
                hint="Use a smaller --accumulate or a larger --batch-size.",
            )

    def steps_for(self, given: Mapping[str, Any]) -> list[str]:
        """The options in ``given`` that make it train in steps, unless ``head_solver`` is given."""
        if given.get("head_solver") or given.get("private"):
            return []
        kinds = {"always", "last"} if self.strategy == "probe" else {"always"}
        known = rows(Recipe)
        return [
            name
            for name, value in given.items()
            if name in known and known[name].steps in kinds and known[name].is_set(value)
        ]

    @property
    def rare(self) -> bool:
        """Whether the recipe gives rare classes more weight."""
        return self.class_weights or self.balanced or self.focal > 0

    def to_json(self) -> dict[str, Any]:
        """The fields, for ``run.json``."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    @classmethod
    def default(
        cls,
        modality: str,
        *,
        pretrained: bool,
        strategy: str | None = None,
        products: int = 0,
        adapters: Mapping[str, AdapterKind] = ADAPTERS,
        preset: str | None = None,
    ) -> Self:
        """Defaults that work for most data.

        Args:
            modality: Modality of the backbone.
            pretrained: Whether training starts from pretrained weights.
            strategy: The requested strategy, if any.
            products: Multiplications of the head over the training split, which L-BFGS repeats
                some hundred times: samples times ``feature_dim`` times outputs.
            adapters: Kinds of adapters, whose few parameters train with a larger learning rate.
            preset: Name of a preset, whose values replace the usual ones.
        """
        from zoo.modalities import modality_named

        values: dict[str, Any] = {
            "strategy": "two-stage" if pretrained else "full",
            "head_solver": "lbfgs" if products <= _SOLVED else "adamw",
            "batch_norm": "stored" if pretrained else "batch",
            **modality_named(modality).recipe(pretrained=pretrained),
            **preset_values(preset, modality, pretrained=pretrained),
            **({"strategy": strategy} if strategy else {}),
        }
        recipe, chosen = cls(**values), values["strategy"]
        factor = adapters[chosen].lr if chosen in adapters else 1.0
        return replace(recipe, lr=recipe.lr * factor)

    def changed(self, **overrides: Any) -> Self:
        """A copy with the overrides that are not ``None``.

        With ``probe``, ``lr``, ``epochs`` and ``batch_size`` are those of the head. If an override
        only has an effect on training in steps, AdamW trains the head rather than L-BFGS.
        """
        given = {name: value for name, value in overrides.items() if value is not None}
        if given.get("batch_size") == "auto":
            del given["batch_size"]
            given["fit_memory"] = True
        recipe = replace(self, **given)
        if recipe.l2sp and "weight_decay" not in given:
            recipe = replace(recipe, weight_decay=0.0)  # L2-SP replaces it
        if recipe.steps_for(given):
            recipe = replace(recipe, head_solver="adamw")
        if recipe.strategy == "probe":
            known = rows(Recipe)
            head_field = {
                known[name].head_field: value for name, value in given.items() if name in known
            }
            head_field.pop("", None)
            return replace(recipe, **head_field)
        return recipe


def preset_values(preset: str | None, modality: str, *, pretrained: bool) -> dict[str, Any]:
    """The values of a preset, without those that such inputs do not have."""
    foreign = foreign_options(modality)
    values = PRESETS[preset].of(pretrained=pretrained) if preset else {}
    return {name: value for name, value in values.items() if name not in foreign}


def foreign_options(modality: str) -> set[str]:
    """Options that are for other modalities alone."""
    from zoo.modalities import known_modalities, modality_named

    own = modality_named(modality)
    return {name for each in known_modalities() for name in each.options - own.options}


_SOLVED = 1_000_000_000
"""Up to so many multiplications of the head over the training split, L-BFGS takes a minute at most."""
