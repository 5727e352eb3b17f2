"""What every family shares: building torchvision's network, naming stages, reading old weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from zoo import (
    AdapterTargets,
    Backbone,
    BackboneSpec,
    Native,
    TokenOptions,
)  # before torchvision: declares its operators

import torchvision  # isort: skip

StateDict = dict[str, Tensor]
Stages = Mapping[str, tuple[str, ...]]
Value = TypeVar("Value")

PUBLISHED_CLASSES = 1000


def network(arch: str, **options: Any) -> nn.Module:
    """torchvision's own network with random parameters, on torch's default device.

    Args:
        arch: A name of ``torchvision.models.list_models``.
        options: Arguments of torchvision's builder, e.g. ``image_size``.
    """
    with _NumbersHaveValues():
        net: nn.Module = torchvision.models.get_model(arch, weights=None, **options)
    return net.to(torch.get_default_device())


def wrap(
    net: nn.Module,
    spec: BackboneSpec,
    *,
    head: str,
    stages: Stages,
    convert: Callable[[StateDict], StateDict] | None = None,
    to_native: Callable[[StateDict], StateDict] | None = None,
    never_adapted: Iterable[str] = (),
    prefix_tokens: int | None = None,
    **options: Any,
) -> Backbone:
    """The backbone of ``net``, into which zoo loads weights.

    Args:
        net: From :func:`network`.
        spec: What the backbone was asked to be.
        head: Path of the last linear layer.
        stages: Ordered, input first.
        convert: From names and shapes of published files to those that ``net`` has now.
        to_native: From the names and shapes that ``net`` has to those that torchvision has.
        never_adapted: Modules whose weights are read without calling them.
        prefix_tokens: As of :class:`zoo.TokenOptions`.
        options: Those of :func:`network` that torchvision needs for such a network again.
    """

    def with_counters(state: StateDict) -> StateDict:
        return _with_counters(convert(state) if convert else state, net)

    return Backbone.wrap(
        net,
        spec=spec,
        head=head,
        stages=stages,
        convert=with_counters,
        native=Native(names=to_native, code=partial(_native_code, options)),
        adapters=AdapterTargets(never=never_adapted),
        tokens=TokenOptions(prefix=prefix_tokens),
    )


_NATIVE_CODE = """\
from pathlib import Path

import torchvision
from safetensors.torch import load_file


def load(folder):
    network = torchvision.models.get_model({arguments})
    state = network.state_dict()  # carries version numbers that some networks ask for
    state.update(load_file(Path(folder) / "model.safetensors"))
    network.load_state_dict(state)
    return network.eval()


def logits(network, batch):
    return network(batch["pixel_values"])  # (B, {outputs})
"""


def _native_code(options: Mapping[str, Any], backbone: Backbone) -> str:
    """How plain torchvision loads a saved state."""
    outputs = backbone.head.out_features
    given = {"weights": None, "num_classes": outputs, **options}
    arguments = [repr(backbone.spec.arch), *(f"{name}={value!r}" for name, value in given.items())]
    return _NATIVE_CODE.format(arguments=", ".join(arguments), outputs=outputs)


def cut(container: str, **counts: int) -> dict[str, tuple[str, ...]]:
    """Stages that are runs of a container's numbered children, given how many each has.

    ``cut("features", stem=1, stage1=2)`` is ``{"stem": ("features.0",), "stage1":
    ("features.1", "features.2")}``.
    """
    stages, start = {}, 0
    for name, count in counts.items():
        stages[name] = tuple(f"{container}.{i}" for i in range(start, start + count))
        start += count
    return stages


def of_family(arch: str, table: Mapping[str, Value]) -> Value:
    """The entry of the longest key that ``arch`` begins with."""
    return table[max((key for key in table if arch.startswith(key)), key=len)]


def without(state: StateDict, prefixes: Sequence[str]) -> StateDict:
    """``state`` without the names that begin with one of ``prefixes``."""
    return {k: v for k, v in state.items() if not k.startswith(tuple(prefixes))}


def _with_counters(state: StateDict, net: nn.Module) -> StateDict:
    """Add the batch counters that files written before PyTorch 0.4.1 lack.

    torch's own ``BatchNorm._load_from_state_dict`` does the same; the published ``vgg*_bn`` and
    DenseNet files are that old.
    """
    counters = {
        key: value
        for key, value in net.state_dict().items()
        if key.endswith(".num_batches_tracked")
        and key.replace("num_batches_tracked", "running_mean") in state
    }
    return {**counters, **state}


class _NumbersHaveValues(TorchFunctionMode):
    """Tables and numbers that a constructor calculates have values, also on the meta device.

    RegNet works its widths out with tensors and reads them back, which the meta device cannot.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:  # signature of torch.overrides
        options = dict(kwargs or {})
        if func in (torch.arange, torch.tensor):
            options.setdefault("device", "cpu")
        return func(*args, **options)
