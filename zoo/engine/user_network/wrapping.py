"""``zoo.wrap``: make a backbone of a module, or of a function that builds one."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from zoo.contract.inputs import InputSpec
from zoo.contract.network.backbone import Backbone
from zoo.contract.network.batch import Extract
from zoo.contract.network.loading import not_trainable, some
from zoo.contract.spec import OWN_LOADER, BackboneSpec, ImageInput
from zoo.engine.user_network.code import CodeSource, find_code, is_typed, source_of
from zoo.engine.user_network.network import (
    SEEDS,
    OwnBackbone,
    OwnNetwork,
    default_extract,
    is_building,
    made_network,
)
from zoo.errors import ContractError, UsageError, closest, first_line
from zoo.modalities import modality_of
from zoo.system.tensors.seeds import seed_devices

if TYPE_CHECKING:
    from tokenizers import Tokenizer

NetworkLike = nn.Module | Callable[[], nn.Module] | str
"""A module, a function that returns one, or ``FILE.py:NAME`` or ``MODULE:NAME`` of such a function."""

_HEADS = ("fc", "head", "classifier", "heads", "output", "out")


def wrap(
    network: NetworkLike,
    *,
    input: InputSpec | None = None,  # noqa: A002
    head: str | None = None,
    stages: Mapping[str, Iterable[str]] | Iterable[str] | None = None,
    extract: Extract | None = None,
    tokenizer: Tokenizer | None = None,
) -> OwnBackbone:
    """See :func:`zoo.wrap`."""
    if is_building():
        return _built(network, input or ImageInput(), head, stages, extract)
    make, source, module = _maker(network)
    name = _short(source)
    if isinstance(module, OwnBackbone):  # a function that returns a wrapped network
        spec = replace(module.own.spec, name=name)
        pretrained = module.own.pretrained or module.values() != module.own.as_wrapped
        own = replace(module.own, make=make, source=source, spec=spec, pretrained=pretrained)
        return _build(replace(own, extract=None))  # it comes with each network
    _refuse_special(module, name)
    head = head or _only_head(module, name)
    _require_head(module, head, name)
    fitted = _with_tokenizer(input or ImageInput(), tokenizer)
    own = OwnNetwork(
        make=make,
        spec=_spec(name, fitted, head, module),
        head=head,
        stages=stages,
        extract=extract,
        source=_reachable(source, extract),
        pretrained=isinstance(network, nn.Module) or not _is_random(make, module, head),
        tokenizer=tokenizer,
        frozen=tuple(path for path, p in module.named_parameters() if not p.requires_grad),
    )
    return _build(_measured(own, module))


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
        module = _copied(make, source.name)
    else:
        source = source_of(make)
        module = made_network(make, source.name)
    if isinstance(module, OwnBackbone):
        return module
    name = _short(source)
    head = head or _only_head(module, name)
    _require_head(module, head, name)
    own = OwnNetwork(
        make=lambda: module,
        spec=_spec(name, given, head, module),
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
        return backbone, None
    own = own_network(backbone)
    return own.spec.name, own


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
            network = _copied(given.native_network(), own.spec.name)
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
        _refuse_special(network, type(network).__name__)
        kept = _copied(network, type(network).__name__)
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


# -- what cannot be wrapped ---------------------------------------------------------------------


def _refuse_special(module: nn.Module, name: str) -> None:
    """Refuse modules that cannot be trained, or that hide the network."""
    inner = next((key for key in ("_orig_mod", "module") if key in module._modules), None)
    wrapper = type(module).__name__
    if inner and wrapper in _WRAPPERS:
        raise UsageError(
            f"the network is inside {wrapper}",
            hint=f"Pass the network itself, network.{inner}; {_WRAPPERS[wrapper]}",
        )
    if isinstance(module, torch.jit.ScriptModule):
        raise UsageError(
            f"{name} is TorchScript, which cannot be copied and changed",
            hint="Pass the network that it was made from.",
        )
    if integers := not_trainable(module):
        raise UsageError(
            f"{name} is quantized and cannot be trained: {some(integers)}",
            hint="Pass the network in floating point, and quantize the trained model.",
        )
    parameters = dict(module.named_parameters())
    empty = [path for path, p in parameters.items() if p.is_meta or _is_lazy(p)]
    if empty or not parameters:
        raise UsageError(
            f"{name} has {'parameters without values: ' + some(empty) if empty else 'no parameters'}",
            hint="Load or initialise it first; lazy layers by one forward pass.",
        )


_WRAPPERS = {
    "OptimizedModule": "to compile it: compile='on'.",
    "DataParallel": "zoo distributes it itself.",
    "DistributedDataParallel": "zoo distributes it itself.",
    "FullyShardedDataParallel": "zoo distributes it itself.",
}


def _is_lazy(parameter: Tensor) -> bool:
    return isinstance(parameter, nn.parameter.UninitializedParameter)


def _copied(module: nn.Module | None, name: str) -> nn.Module:
    try:
        return copy.deepcopy(module) if module is not None else nn.Module()
    except Exception as error:  # of the user's own module
        raise UsageError(
            f"{name} cannot be copied: {first_line(error, kind=True)}",
            hint="Wrap a function that builds it: zoo.wrap(build_net, …).",
        ) from error


# -- the head -----------------------------------------------------------------------------------


def _only_head(module: nn.Module, name: str) -> str:
    """The last linear layer."""
    linear = _linear(module)
    if not linear or not linear[-1]:
        raise ContractError(
            f"{name} has no linear layer that could be its head",
            hint="Say which module is the head: zoo.wrap(network, head='PATH').",
        )
    return linear[-1]


def _linear(module: nn.Module) -> list[str]:
    return [path for path, layer in module.named_modules() if isinstance(layer, nn.Linear)]


def _require_head(module: nn.Module, head: str, name: str) -> None:
    paths = [path for path, _ in module.named_modules() if path]
    if head in paths:
        return
    last = head.rpartition(".")[2]
    usual = [p for p in paths if p.rpartition(".")[2] in (last, *_HEADS)]
    linear = _linear(module)
    near = list(dict.fromkeys([*closest(head, paths), *usual, *linear[-1:]]))[:5]
    raise ContractError(
        f"{name} has no module {head!r}. Closest: {', '.join(near) or 'none'}",
        hint="head= is a path as in network.named_modules(), e.g. fc or classifier.6.",
    )


# -- what is measured ---------------------------------------------------------------------------


def _is_random(make: Callable[[], nn.Module], first: nn.Module, head: str) -> bool:
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


def _spec(name: str, given: InputSpec, head: str, module: nn.Module) -> BackboneSpec:
    layer = module.get_submodule(head)
    return BackboneSpec(
        name=name,
        modality=given.modality,
        feature_dim=getattr(layer, "in_features", 1),
        params=sum(p.numel() for p in module.parameters()),
        input=given,
        loader=OWN_LOADER,
    )


def _with_tokenizer(given: InputSpec, tokenizer: Tokenizer | None) -> InputSpec:
    """The input, which says whether the network has a tokenizer of its own."""
    own: dict[str, Any] = {"own_tokenizer": tokenizer is not None}
    return replace(given, **own) if given.tokens else given


def _measured(own: OwnNetwork, module: nn.Module) -> OwnNetwork:
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


def _build(own: OwnNetwork) -> OwnBackbone:
    with torch.random.fork_rng():
        seed_devices(SEEDS[0])
        backbone = own.build(own.spec)
    backbone.own = replace(own, as_wrapped=backbone.values())
    return backbone
