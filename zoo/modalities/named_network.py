"""A network whose inputs are named arguments, as exporters need it."""

from __future__ import annotations

from collections.abc import Sequence
from inspect import Parameter, Signature

from torch import Tensor, nn

from zoo.contract.network.backbone import Backbone


def named_network(names: Sequence[str], backbone: Backbone) -> nn.Module:
    """The network with the tensors of a batch as keyword arguments ``names``.

    Exporters use the names in the signature as names of the inputs.
    """

    def forward(self: nn.Module, **batch: Tensor) -> Tensor:
        """``(B, outputs)``, before softmax, sigmoid, or the user's units."""
        logits: Tensor = self.get_submodule("backbone")(batch)
        return logits

    arguments = [Parameter(name, Parameter.POSITIONAL_OR_KEYWORD) for name in ("self", *names)]
    forward.__signature__ = Signature(arguments)  # type: ignore[attr-defined]
    network: nn.Module = type("NamedNetwork", (nn.Module,), {"forward": forward})()
    network.backbone = backbone
    return network
