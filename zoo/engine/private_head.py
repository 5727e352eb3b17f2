"""A linear head trained by DP-SGD on cached features."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from zoo.engine.break_even import Timing
from zoo.engine.privacy import MOMENTUM, Privacy, steps_per_epoch
from zoo.engine.readings import StepResult
from zoo.engine.sources import Features, Step
from zoo.engine.strategies import Phase
from zoo.engine.trainable import choose_trained
from zoo.engine.training_setup import TrainingSetup

_KEY = "noise_key"
_DRAWN, _NOISE = 0, 1  # what a stream of random numbers is for


class SecretNoise:
    """Random numbers from a key that the system draws for the run, and nobody publishes.

    With the seed of the run, which ``run.json`` names, anyone who reads it could subtract the noise.
    The key is saved only beside the state of an unfinished run, so that it can be resumed.
    """

    def __init__(self) -> None:
        self.key = secrets.randbits(126)

    def of(self, step: int, purpose: int) -> np.random.Generator:
        """The numbers of one step, from 0."""
        return np.random.default_rng([self.key, step, purpose])

    def tensor(self) -> Tensor:
        """The key, ``(2,)``."""
        return torch.tensor([self.key >> 63, self.key & (2**63 - 1)])

    def load(self, tensor: Tensor) -> None:
        """The inverse of :meth:`tensor`."""
        high, low = tensor.tolist()
        self.key = high << 63 | low


class PoissonFeatures:
    """Cached features, each drawn for a step with the same probability, independently.

    Args:
        features: All of them.
        setup: Everything that the phases share.
    """

    compilable = False

    def __init__(self, features: Features, setup: TrainingSetup) -> None:
        assert setup.privacy is not None
        self.trained, self.place, self.validate = (
            features.trained,
            features.place,
            features.validate,
        )
        self.held_out = features.held_out
        self.noise = SecretNoise()
        self._features, self._rate = features, setup.privacy.sampling_rate
        self._size = setup.recipe.probe_batch_size
        self.steps = steps_per_epoch(setup.recipe, features.count)

    def epoch(self, epoch: int, start: int) -> Iterator[Step]:
        """As many steps as draw each sample once, on average."""
        for step in range(start, self.steps):
            numbers = self.noise.of(epoch * self.steps + step, _DRAWN).random(self._features.count)
            chosen = torch.from_numpy(np.flatnonzero(numbers < self._rate))
            rows, labels = self._features.rows(epoch, chosen)
            # The expected number: the actual one is as private as the samples.
            yield Step(rows, labels, self._size, chosen)


class PrivateHead:
    """Trains a linear head by DP-SGD.

    The gradient of one sample is the outer product of the loss's gradient for the logits and the
    features with a constant 1 for the bias; its norm is the product of their norms. Features are
    centred and scaled by those of the validation split, which the guarantee does not cover. What
    the head holds is for the features as they are.
    """

    average = None

    def __init__(self, setup: TrainingSetup, phase: Phase, source: PoissonFeatures) -> None:
        assert setup.privacy is not None
        choose_trained(setup.forward.backbone, phase, setup.recipe)
        self.accumulate = 1
        self._setup, self._source, self._phase = setup, source, phase
        self._privacy: Privacy = setup.privacy
        head, device = setup.forward.backbone.head, setup.forward.device
        assert isinstance(head, nn.Linear)
        self._head, self._bias = head, float(head.bias is not None)
        held_out = source.held_out.to(device)
        centre = self._bias * held_out.mean(dim=0)
        square = (held_out - centre).square().sum(dim=1).mean()
        self._centre, self._scale = centre, torch.where(square > 0, square, 1.0).sqrt()
        shape = (head.out_features, head.in_features + 1)
        self._state = torch.zeros(shape, device=device)  # weights, then biases
        self._velocity = torch.zeros(shape, device=device)

    def begin(self) -> None:
        """Evaluation mode: nothing about the head is random but the noise."""
        self._head.eval()

    def timed(self, timing: Timing, done: int) -> None:
        """Nothing is compiled."""

    def step(self, number: int, step: Step) -> StepResult:
        """Add up clipped gradients and noise, and take a step with momentum."""
        privacy = self._privacy
        inputs, targets = self._source.place(step, number)
        assert isinstance(inputs, Tensor)
        total = clipped_sum(
            (inputs - self._centre) / self._scale,
            targets,
            self._state,
            loss=self._setup.loss,
            most=privacy.clipping_norm,
            bias=self._bias,
        )
        drawn = self._source.noise.of(number, _NOISE).standard_normal(tuple(total.shape))
        noise = torch.from_numpy(drawn).to(total)
        deviation = privacy.noise_multiplier * privacy.clipping_norm
        gradient = (total + deviation * noise) / step.samples
        gradient[:, -1] *= self._bias
        self._velocity = MOMENTUM * self._velocity + gradient
        self._state = self._state - self._phase.lr * self._velocity
        self._put()
        norm = gradient.norm()
        return StepResult(torch.zeros_like(norm), norm)

    @torch.no_grad()
    def _put(self) -> None:
        """Give the head its values, for features as they are."""
        weight = self._state[:, :-1] / self._scale
        self._head.weight.copy_(weight)
        if self._head.bias is not None:
            self._head.bias.copy_(self._state[:, -1] - weight @ self._centre)

    # -- as of a learner -------------------------------------------------------------------------

    def gather(self) -> None:
        """Nothing to do: there is one process."""

    def tensors(self) -> dict[str, Tensor]:
        """Momentum, the head for standard features, and the key of the noise."""
        key = self._source.noise.tensor()
        return {"velocity": self._velocity, "state": self._state, _KEY: key}

    def load_tensors(self, tensors: Mapping[str, Tensor], *, accumulate: int) -> None:  # noqa: ARG002
        """Load what :meth:`tensors` returned."""
        self._velocity = tensors["velocity"].to(self._velocity)
        self._state = tensors["state"].to(self._state)
        self._source.noise.load(tensors[_KEY])


def clipped_sum(
    rows: Tensor, targets: Tensor, state: Tensor, *, loss: nn.Module, most: float, bias: float = 1.0
) -> Tensor:
    """The sum of the samples' gradients, each clipped to a norm: ``(C, D + 1)``.

    Args:
        rows: Features, ``(B, D)``.
        targets: ``(B, …)``.
        state: Weights, then biases: ``(C, D + 1)``.
        loss: From logits and targets to one loss per sample.
        most: The largest norm of a gradient.
        bias: 1, or 0 for a head without biases.
    """
    with torch.enable_grad():
        logits = (rows @ state[:, :-1].T + bias * state[:, -1]).detach().requires_grad_()
        (residual,) = torch.autograd.grad(loss(logits, targets).sum(), logits)  # (B, C)
    norms = residual.norm(dim=1) * (rows.square().sum(dim=1) + bias).sqrt()
    residual = residual * (most / norms.clamp(min=most))[:, None]
    return torch.cat([residual.T @ rows, residual.sum(dim=0)[:, None]], dim=1)
