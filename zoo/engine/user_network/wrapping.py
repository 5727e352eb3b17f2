"""``zoo.wrap``: make a backbone of a module, or of a function that builds one."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from zoo.contract.inputs import InputSpec
from zoo.contract.network.backbone import Backbone
from zoo.contract.network.batch import Extract
from zoo.contract.spec import ImageInput
from zoo.engine.user_network.code import CodeSource, find_code, is_typed, source_of
from zoo.engine.user_network.head_path import only_head, require_head
from zoo.engine.user_network.measuring import is_random, measured, spec_of
from zoo.engine.user_network.network import (
    SEEDS,
    OwnBackbone,
    OwnNetwork,
    is_building,
    made_network,
)
from zoo.engine.user_network.refusing import copied, refuse_special, require_kinds
from zoo.errors import UsageError
from zoo.system.tensors.seeds import seed_devices

if TYPE_CHECKING:
    from tokenizers import Tokenizer

NetworkLike = nn.Module | Callable[[], nn.Module] | str
"""A module, a function that returns one, or ``FILE.py:NAME`` or ``MODULE:NAME`` of such a function."""


def wrap(
    network: NetworkLike,
    *,
    input: InputSpec | None = None,  # noqa: A002
    head: str | None = None,
    stages: Mapping[str, Iterable[str]] | Iterable[str] | None = None,
    extract: Extract | None = None,
    tokenizer: Tokenizer | None = None,
) -> OwnBackbone:
    """Make a backbone of your own network, for :func:`finetune` and the others; no plugin needed.

    Training starts from the values that the network has. The network itself is copied, and not
    changed. ``feature_dim`` is measured.

    Args:
        network: A function or class that returns the network when called without arguments, also
            as ``"my_file.py:build_net"``: runs made with it are opened from their folders. Or a
            module: unless its class can be imported and called without arguments, such a run is
            opened with ``zoo.open_run(folder, network=…)``.
        input: How the network's input is prepared: ``ImageInput``, ``TextInput``, or a plugin's;
            ``ImageInput(size=224)`` by default.
        head: Path of the head, e.g. ``fc`` or ``classifier.6``; the last linear layer by default.
        stages: Groups of layers, input first: names to module paths, or paths alone. One per child
            module by default.
        extract: From the network without its head and a batch to features ``(B, feature_dim)``;
            by default the network is called on the inputs, and on the attention mask if it takes
            two.
        tokenizer: The tokenizer of a text network; one is trained on the data by default.

    Raises:
        UsageError: The network cannot be made or copied, or is not a plain module.
        ContractError: The head is not found, or the network does not fit the contract.
    """
    if is_building():
        return _built(network, input or ImageInput(), head, stages, extract)
    require_kinds(input, head)
    make, source, module = _maker(network)
    name = _short(source)
    if isinstance(module, OwnBackbone):  # a function that returns a wrapped network
        spec = replace(module.own.spec, name=name)
        pretrained = module.own.pretrained or module.values() != module.own.as_wrapped
        own = replace(module.own, make=make, source=source, spec=spec, pretrained=pretrained)
        return _build(replace(own, extract=None))  # it comes with each network
    refuse_special(module, name)
    head = head or only_head(module, name)
    require_head(module, head, name)
    fitted = _with_tokenizer(input or ImageInput(), tokenizer)
    own = OwnNetwork(
        make=make,
        spec=spec_of(name, fitted, head, module),
        head=head,
        stages=stages,
        extract=extract,
        source=_reachable(source, extract),
        pretrained=isinstance(network, nn.Module) or not is_random(make, module, head),
        tokenizer=tokenizer,
        frozen=tuple(path for path, p in module.named_parameters() if not p.requires_grad),
    )
    return _build(measured(own, module))


def _with_tokenizer(given: InputSpec, tokenizer: Tokenizer | None) -> InputSpec:
    """Return the input with ``own_tokenizer`` set, if the network has a tokenizer."""
    changes: dict[str, Any] = {"own_tokenizer": tokenizer is not None}
    return replace(given, **changes) if given.tokens else given


def _built(
    network: NetworkLike,
    given: InputSpec,
    head: str | None,
    stages: Mapping[str, Iterable[str]] | Iterable[str] | None,
    extract: Extract | None,
) -> OwnBackbone:
    """A network that is wrapped by a function whose result has been measured before."""
    make = find_code(network) if isinstance(network, str) else network
    if isinstance(make, nn.Module):
        source = CodeSource(name=type(make).__name__)
        module = copied(make, source.name)
    else:
        source = source_of(make)
        module = made_network(make, source.name)
    if isinstance(module, OwnBackbone):
        return module
    name = _short(source)
    head = head or only_head(module, name)
    require_head(module, head, name)
    own = OwnNetwork(
        make=lambda: module,
        spec=spec_of(name, given, head, module),
        head=head,
        stages=stages,
        extract=extract,
        source=source,
    )
    return own.around(module, own.spec, extract)


def _short(source: CodeSource) -> str:
    """The name of a network: that of its function or class."""
    return source.name.rpartition(".")[2].strip("<>") or "network"


def named_network(backbone: Any) -> tuple[str, OwnNetwork | None]:
    """The name of a backbone, and the user's own network if it is one.

    Args:
        backbone: A name; or what :func:`own_network` takes, of strings only ``FILE.py:NAME`` and
            ``MODULE:NAME``.

    Raises:
        UsageError: As for :func:`own_network`.
    """
    if isinstance(backbone, str) and not is_typed(backbone):
        _refuse_half_typed(backbone)
        return backbone, None
    own = own_network(backbone)
    return own.spec.name, own


def _refuse_half_typed(name: str) -> None:
    """Refuse a file without a function, and a function whose file has no ending."""
    place, _, function = name.partition(":")
    if name.endswith(".py") and Path(name).is_file():
        raise UsageError(
            f"{name} is a Python file, not the name of a backbone",
            hint=f"Name a function in it that returns the network: {name}:NAME.",
        )
    if place.isidentifier() and function.isidentifier() and Path(f"{place}.py").is_file():
        raise UsageError(
            f"{name} does not name a backbone, nor a function in a file",
            hint=f"For the function in {place}.py: {place}.py:{function}.",
        )


def own_network(given: Any) -> OwnNetwork:
    """How to make the network of ``given``: a result of :func:`wrap` with its values as they are now,
    or what :func:`wrap` takes.

    Raises:
        UsageError: It is neither.
    """
    if isinstance(given, OwnBackbone):
        own = given.own
        frozen = tuple(path for path, p in given.net.named_parameters() if not p.requires_grad)
        if given.values() != own.as_wrapped:  # changed since: these values are wanted
            network = copied(given.native_network(), own.spec.name)
            own = replace(own, make=lambda: copy.deepcopy(network), pretrained=True)
        return replace(own, frozen=frozen)
    if isinstance(given, Backbone):
        raise UsageError(
            f"a backbone of {given.spec.name} was given, not its name",
            hint=f"Pass {given.spec.name!r}, or a network of your own: zoo.wrap(network, head=…).",
        )
    return wrap(given).own


def _maker(network: Any) -> tuple[Callable[[], nn.Module], CodeSource, nn.Module]:
    """How to make the network again, where that is defined, and one that has been made."""
    if isinstance(network, str):
        network = find_code(network)
    if isinstance(network, nn.Module):
        refuse_special(network, type(network).__name__)
        kept = copied(network, type(network).__name__)
        return (lambda: copy.deepcopy(kept)), class_source(network), copy.deepcopy(kept)
    if not callable(network):
        raise UsageError(
            f"a network must be a torch.nn.Module or a function that returns one, got "
            f"{type(network).__name__}",
            hint="zoo.wrap(network, input=zoo.ImageInput(size=224), head='fc')",
        )
    source = source_of(network)
    with torch.random.fork_rng():
        seed_devices(SEEDS[0])
        return network, source, made_network(network, source.name)


def class_source(module: nn.Module) -> CodeSource:
    """The class of a module, and whether calling it makes a network of the same tensors."""
    kind = type(module)
    source = source_of(kind)
    if not source.importable:
        return source
    try:
        with torch.random.fork_rng(), torch.device("meta"):
            again = kind()
        same = _shapes(again) == _shapes(module)
    except Exception:  # of the class, called without arguments
        same = False
    return replace(source, callable=same)


def _shapes(module: nn.Module) -> dict[str, torch.Size]:
    return {key: tensor.shape for key, tensor in module.state_dict().items()}


def _reachable(source: CodeSource, extract: Extract | None) -> CodeSource:
    """The source; a function ``extract`` of another file cannot be found with it."""
    if extract is None:
        return source
    other = source_of(extract)
    together = other.importable and (other.file, other.module) == (source.file, source.module)
    return source if together else replace(source, callable=False)


def _build(own: OwnNetwork) -> OwnBackbone:
    with torch.random.fork_rng():
        seed_devices(SEEDS[0])
        backbone = own.build(own.spec)
    backbone.own = replace(own, as_wrapped=backbone.values())
    return backbone
