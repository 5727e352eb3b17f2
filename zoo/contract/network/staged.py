"""A network in stages that can be frozen one by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from torch import nn

from zoo.contract.network.freezing import chosen, measured_norms, resting
from zoo.contract.network.loading import require_trainable
from zoo.contract.network.recomputing import repeated_blocks
from zoo.contract.stages import Stage, Stages


class StagedNetwork(nn.Module):
    """A network whose modules are grouped into ordered stages.

    Args:
        name: The backbone's name, for errors.
        net: The network without its head.
        stages: Ordered, input first.
    """

    def __init__(self, name: str, net: nn.Module, stages: Sequence[Stage]) -> None:
        super().__init__()
        self._name = name
        self.net = net
        self._stages = Stages(name, stages)
        self._fixed: list[nn.Module] = []  # a list, so that they are not registered again
        self.check_stages()

    def check_stages(self) -> None:
        """Check that every parameter of ``net`` is in one stage, and that no stage is empty.

        Integer parameters and non-tensors, as in quantized layers, are not allowed.

        Raises:
            ContractError: The check failed, for example after a layer was replaced.
        """
        require_trainable(self.net, self._name)
        self._stages.check(path for path, _ in self.net.named_parameters())

    def stages(self) -> tuple[Stage, ...]:
        """Ordered, input first; their parameters are disjoint and together all of the backbone's."""
        return tuple(self._stages)

    def stage_parameters(self, name: str) -> dict[str, nn.Parameter]:
        """The parameters of one stage by their names in ``net``.

        Raises:
            StageError: There is no such stage.
        """
        self._stages.index(name)
        named = self.net.named_parameters()
        return {path: tensor for path, tensor in named if self._stages.of(path) == name}

    def stage_of(self, path: str) -> str | None:
        """The stage of a module, parameter or buffer of ``net``; ``None`` if it is in none."""
        return self._stages.of(path)

    def blocks(self) -> list[nn.Module]:
        """The repeated blocks, whose activations ``--activation-checkpointing`` computes again."""
        return repeated_blocks(self.net)

    def freeze(self, *layers: str, upto: str | None = None) -> None:
        """Freeze layers, or the stages up to and including ``upto``, or the whole backbone.

        Frozen parameters take no gradient; frozen normalisation layers keep their statistics
        and frozen dropout is off, also after a later ``train()``. The head is never frozen.

        Args:
            layers: Stages, or modules or parameters of ``net`` (``features.28``).
            upto: The last stage to freeze.

        Raises:
            StageError: There is no such stage or layer; the message names the stages.
        """
        self._require_grad(False, layers, self._stages.upto(upto) if upto else ())

    def unfreeze(self, *layers: str, downto: str | None = None) -> None:
        """Unfreeze layers, or the stages from the last down to ``downto``, or the whole backbone.

        Raises:
            StageError: There is no such stage or layer; the message names the stages.
        """
        self._require_grad(True, layers, self._stages.downto(downto) if downto else ())

    def freeze_statistics(self) -> None:
        """Make batch normalisation use and keep its stored statistics, also after a later ``train()``.

        Its scale and shift can still train. Layers whose statistics were never measured, such as
        new ones, use those of the batch.
        """
        self._fixed = list(measured_norms(self.net))
        self.train(self.training)

    @property
    def fixed_norms(self) -> tuple[nn.Module, ...]:
        """The batch-normalisation layers that :meth:`freeze_statistics` found."""
        return tuple(self._fixed)

    def train(self, mode: bool = True) -> Self:
        """Like ``nn.Module.train``, but frozen modules stay in evaluation mode."""
        super().train(mode)
        if mode:
            for module in (*resting(self.net, self._stages), *self._fixed):
                module.training = False
        return self

    def _require_grad(self, flag: bool, layers: Sequence[str], stages: Sequence[str]) -> None:
        parameters = dict(self.net.named_parameters())
        for path in chosen(parameters, self._stages, layers, stages):
            parameters[path].requires_grad_(flag)
        self.train(self.training)
