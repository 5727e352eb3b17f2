"""What is measured of a user's network: its features, and whether its values are random."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from zoo.contract.inputs import InputSpec
from zoo.contract.spec import OWN_LOADER, BackboneSpec
from zoo.engine.user_network.network import SEEDS, OwnNetwork, default_extract, made_network
from zoo.errors import ContractError, first_line
from zoo.modalities import modality_of
from zoo.system.tensors.seeds import seed_devices


def is_random(make: Callable[[], nn.Module], first: nn.Module, head: str) -> bool:
    """Whether most values differ when the network is made again with another seed."""
    with torch.random.fork_rng():
        seed_devices(SEEDS[1])
        again = dict(made_network(make, "the network").named_parameters())
    shared = [
        (p, again[k])
        for k, p in first.named_parameters()
        if k in again and p.ndim > 1 and not k.startswith(f"{head}.")
    ]
    return sum(not torch.equal(one, other) for one, other in shared) > len(shared) / 2


def spec_of(name: str, given: InputSpec, head: str, module: nn.Module) -> BackboneSpec:
    layer = module.get_submodule(head)
    return BackboneSpec(
        name=name,
        modality=given.modality,
        feature_dim=getattr(layer, "in_features", 1),
        params=sum(p.numel() for p in module.parameters()),
        input=given,
        loader=OWN_LOADER,
    )


def measured(own: OwnNetwork, module: nn.Module) -> OwnNetwork:
    """With the width of the features, and whether images of another size are refused."""
    modality, net = modality_of(own.spec), module.cpu().float().eval()
    batch = modality.random_batch(own.spec, 2)
    with torch.no_grad():
        native = None if own.extract else _called(own, net, batch)
        layer = net.get_submodule(own.head)
        net.set_submodule(own.head, nn.Identity())
        features = _called(own, net, batch, f" without its head {own.head!r}")
        if not isinstance(features, Tensor) or features.ndim != 2:
            raise ContractError(
                f"{own.spec.name} without its head {own.head!r} returned {_in_words(features)}, "
                "expected features (B, feature_dim)",
                hint="Pass extract=, a function from the network and a batch to such features.",
            )
        if native is not None:
            _require_last(own, layer, features, native)
    spec = replace(own.spec, feature_dim=features.shape[1])
    size = getattr(spec.input, "size", None)
    if size and not getattr(spec.input, "fixed_size", True):
        try:
            with torch.no_grad():
                other = _called(own, net, modality.random_batch(spec, 2, size=2 * size))
        except ContractError:
            other = None
        spec = spec.with_input(fixed_size=getattr(other, "shape", None) != features.shape)
    return replace(own, spec=spec)


def _called(own: OwnNetwork, net: nn.Module, batch: Mapping[str, Tensor], how: str = "") -> Any:
    shapes = ", ".join(f"{key} {tuple(value.shape)}" for key, value in batch.items())
    try:
        return (own.extract or default_extract(net))(net, batch)
    except Exception as error:  # of the user's own network
        raise ContractError(
            f"{own.spec.name}{how} failed on a batch of {shapes}: {first_line(error, kind=True)}",
            hint="The head must be the last layer."
            if how
            else "Check input= (size, vocab_size), or pass extract=, which calls the network.",
        ) from error


def _require_last(own: OwnNetwork, layer: nn.Module, features: Tensor, native: Any) -> None:
    """Raise a :class:`ContractError` if the network changes the head's outputs or its inputs."""
    try:
        outputs = layer(features)
    except RuntimeError:
        outputs = None
    same = isinstance(native, Tensor) and isinstance(outputs, Tensor)
    if same and native.shape == outputs.shape and torch.allclose(native, outputs, atol=1e-4):
        return
    raise ContractError(
        f"the outputs of {own.spec.name} are not those of its head {own.head!r} on the features "
        f"{tuple(features.shape)}",
        hint="The head must come last, after nothing but the features: move what follows it (a "
        "softmax, a reshape) out of the network, name another head=, or pass extract=.",
    )


def _in_words(output: Any) -> str:
    return str(tuple(output.shape)) if isinstance(output, Tensor) else type(output).__name__
