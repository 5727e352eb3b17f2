"""Shared by all families: build torchvision's network, define stages, read weights of old versions."""

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
    """Build torchvision's network with random weights, on torch's default device.

    Args:
        arch: A name from ``torchvision.models.list_models()``.
        options: Arguments of torchvision's constructor, e.g. ``image_size``.
    """
    with _TablesOnCpu():
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
    """Make a backbone of ``net``; zoo loads the weights into it later.

    Args:
        net: A network from :func:`network`.
        spec: The requested backbone.
        head: Path of the last linear layer.
        stages: Names to module paths, input first.
        convert: Converts a state dict of a published file to the names and shapes of ``net``.
        to_native: Converts a state dict of ``net`` to torchvision's names and shapes.
        never_adapted: Paths of modules whose weights are used without calling the module, so that
            an adapter would have no effect.
        prefix_tokens: See :class:`zoo.TokenOptions`.
        options: Arguments of torchvision's constructor with which it builds the same network.
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
    """Return code that loads saved weights with torchvision alone."""
    outputs = backbone.head.out_features
    keywords = {"weights": None, "num_classes": outputs, **options}
    arguments = [
        repr(backbone.spec.arch),
        *(f"{name}={value!r}" for name, value in keywords.items()),
    ]
    return _NATIVE_CODE.format(arguments=", ".join(arguments), outputs=outputs)


def cut(container: str, **counts: int) -> dict[str, tuple[str, ...]]:
    """Split a container's numbered children into consecutive stages of the given sizes.

    ``cut("features", stem=1, stage1=2)`` is ``{"stem": ("features.0",), "stage1":
    ("features.1", "features.2")}``.
    """
    stages, start = {}, 0
    for name, count in counts.items():
        stages[name] = tuple(f"{container}.{i}" for i in range(start, start + count))
        start += count
    return stages


def of_family(arch: str, table: Mapping[str, Value]) -> Value:
    """Return the entry of the longest key that is a prefix of ``arch``."""
    return table[max((key for key in table if arch.startswith(key)), key=len)]


def without(state: StateDict, prefixes: Sequence[str]) -> StateDict:
    """Return ``state`` without the keys that start with one of ``prefixes``."""
    return {k: v for k, v in state.items() if not k.startswith(tuple(prefixes))}


def _with_counters(state: StateDict, net: nn.Module) -> StateDict:
    """Add ``num_batches_tracked``, which is missing from files written before PyTorch 0.4.1.

    The published ``vgg*_bn`` and DenseNet files are that old. torch's
    ``BatchNorm._load_from_state_dict`` does the same.
    """
    counters = {
        key: value
        for key, value in net.state_dict().items()
        if key.endswith(".num_batches_tracked")
        and key.replace("num_batches_tracked", "running_mean") in state
    }
    return {**counters, **state}


class _TablesOnCpu(TorchFunctionMode):
    """Create tensors of ``torch.arange`` and ``torch.tensor`` on the CPU, also on the meta device.

    RegNet's constructor computes its widths with tensors and reads the values back, which fails
    on the meta device.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:  # signature of torch.overrides
        options = dict(kwargs or {})
        if func in (torch.arange, torch.tensor):
            options.setdefault("device", "cpu")
        return func(*args, **options)
