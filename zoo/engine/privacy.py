"""Differential privacy of a head: the noise for a stated epsilon and delta.

DP-SGD (Abadi et al. 2016, arXiv:1607.00133) draws each sample for a step with the same probability,
clips its gradient, and adds Gaussian noise to the sum. Opacus' accountant tells what a number of
such steps gives away.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from zoo.engine.recipe import Recipe
from zoo.errors import UsageError

EPOCHS, STEPS, LR, MOMENTUM = 25, 4, 0.5, 0.9
"""Defaults, the same for all data: epochs, steps per epoch, learning rate, momentum. They were chosen on the
validation splits of the datasets in docs/privacy.md."""

LEAST = 5
"""Training samples that are needed per class, on average."""

_MOST_ROWS = 16_384  # samples drawn for a step by default
_SHARE = 0.1  # of 1 / samples: the default delta
_NEAR = 0.99  # of the stated epsilon that must be reached
_TRIES = 16


@dataclass(frozen=True, kw_only=True)
class Privacy:
    """The guarantee of a run for each of its training samples, and what it follows from.

    Attributes:
        epsilon: As stated.
        delta: As stated, or a tenth of 1 / samples.
        noise_multiplier: Standard deviation of the noise, as a multiple of the clipping norm.
        clipping_norm: The most that a sample adds to the sum of gradients.
        sampling_rate: Probability of a sample to be drawn for a step.
        steps: Number of steps.
        accountant: What the noise was computed with.
        groups: Whether samples have groups; the guarantee is of samples.
    """

    epsilon: float
    delta: float
    noise_multiplier: float
    clipping_norm: float
    sampling_rate: float
    steps: int
    accountant: str
    groups: bool = False

    def to_json(self) -> dict[str, Any]:
        """The fields, for ``run.json``."""
        return asdict(self)


def with_private_defaults(recipe: Recipe, given: Mapping[str, Any], samples: int) -> Recipe:
    """The defaults for private training, if ``given`` asks for it; they depend on the size alone."""
    if given.get("private") is None:
        return recipe
    size = min(_MOST_ROWS, -(-samples // STEPS))
    return replace(recipe, probe_epochs=EPOCHS, probe_lr=LR, probe_batch_size=size)


def require_opacus() -> None:
    """Raise a :class:`UsageError` if Opacus is not installed."""
    if importlib.util.find_spec("opacus") is None:
        raise UsageError(
            "--private needs Opacus, which is not installed",
            hint="Install it: pip install 'zoo-finetune[private]'",
        )


def make_privacy(recipe: Recipe, samples: int, *, groups: bool = False) -> Privacy:
    """Choose the noise for the epsilon and delta of ``recipe``.

    Args:
        recipe: With ``private``.
        samples: Number of training samples.
        groups: Whether they have groups.

    Raises:
        UsageError: Delta is not below 1 / samples, or no amount of noise gives this epsilon.
    """
    assert recipe.private is not None
    delta = _SHARE / samples if recipe.private_delta is None else recipe.private_delta
    if delta >= 1 / samples:
        raise UsageError(
            f"--private-delta must be below {1 / samples:.2g}, one divided by the number of training "
            f"samples, got {delta:g}",
            hint=f"Leave --private-delta out for {_SHARE / samples:.2g}.",
        )
    rate = min(1.0, recipe.probe_batch_size / samples)
    steps = recipe.probe_epochs * steps_per_epoch(recipe, samples)
    noise, accountant = _noise(recipe.private, delta, rate, steps)
    return Privacy(
        epsilon=recipe.private,
        delta=delta,
        noise_multiplier=noise,
        clipping_norm=recipe.max_grad_norm,
        sampling_rate=rate,
        steps=steps,
        accountant=f"{accountant} of Opacus {importlib.metadata.version('opacus')}",
        groups=groups,
    )


def steps_per_epoch(recipe: Recipe, samples: int) -> int:
    """Steps in which each sample is drawn once, on average."""
    return max(1, round(samples / recipe.probe_batch_size))


def _noise(epsilon: float, delta: float, rate: float, steps: int) -> tuple[float, str]:
    """The noise multiplier, and the accountant: RDP where PRV's numbers are not precise enough."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # bounds on orders that are not tight
        from opacus.accountants import PRVAccountant, RDPAccountant

        for kind in (PRVAccountant, RDPAccountant):

            def spent(noise: float, kind: Any = kind) -> float:
                accountant = kind()
                accountant.history = [(noise, rate, steps)]
                return float(accountant.get_epsilon(delta=delta))

            start = 0.5 + rate * math.sqrt(2 * steps * math.log(1.25 / delta)) / epsilon
            try:
                return _least_noise(spent, epsilon, start), kind.__name__.removesuffix("Accountant")
            except (RuntimeError, ValueError, ArithmeticError):
                continue
    raise UsageError(
        f"no amount of noise was found for --private {epsilon:g} and a delta of {delta:.2g} in "
        f"{steps} steps",
        hint="Use a larger epsilon, such as --private 1, or a larger --private-delta.",
    )


def _least_noise(spent: Callable[[float], float], epsilon: float, noise: float) -> float:
    """The noise for which ``spent`` is just below ``epsilon``, by secants of their logarithms.

    Raises:
        ValueError: None was found.
    """
    enough, before, power = math.inf, None, 1.0
    for _ in range(_TRIES):
        found = spent(noise)
        if found <= epsilon:
            enough = min(enough, noise)
            if found >= _NEAR * epsilon:
                break
        if before is not None and found != before[1] and noise != before[0]:
            power = math.log(before[1] / found) / math.log(noise / before[0])
        before = noise, found
        aim = (1 + _NEAR) / 2 * epsilon
        noise *= min(2.0, max(0.5, (found / aim) ** (1 / max(power, 0.5))))
    if not math.isfinite(enough):
        raise ValueError("no noise is enough")
    return enough
