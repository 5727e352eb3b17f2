"""A user's network: how to build it, where its head is, and the backbone made from it."""

from __future__ import annotations

import copy
import hashlib
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from zoo.contract.network.backbone import Backbone
from zoo.contract.network.batch import Batch, Extract
from zoo.contract.network.options import TokenOptions
from zoo.contract.spec import BackboneSpec, Weights
from zoo.engine.user_network.code import CodeSource
from zoo.errors import UsageError, ZooError, first_line
from zoo.registry.resolution import Resolved
from zoo.system.tensors.seeds import seed_devices
from zoo.weights.loading.load import read_state_dict

if TYPE_CHECKING:
    from tokenizers import Tokenizer

TAG = "own"
"""Tag of the values that a network has already."""

SEEDS = (20_011, 20_021)
"""Two seeds: what differs between them in a network is random."""


class OwnBackbone(Backbone):
    """The backbone of a user's own network; made by :func:`zoo.wrap`."""

    own: OwnNetwork

    def values(self) -> tuple[tuple[int, int], ...]:
        """Identifies the values without reading them: another result after any change in place."""
        return tuple((t.data_ptr(), t._version) for t in self.native_state_dict().values())

    def __deepcopy__(self, memo: dict[int, Any]) -> OwnBackbone:
        """A copy of the network; how it is made is not copied."""
        memo[id(self.own)] = self.own
        copied = self.__class__.__new__(self.__class__)
        memo[id(self)] = copied
        copied.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return copied


@dataclass(frozen=True, kw_only=True)
class OwnNetwork:
    """How to build a user's network.

    Attributes:
        make: Builds a new network, with its head.
        spec: Its description, with the input that the user states.
        head: Path of the head.
        stages: As for :func:`zoo.wrap`.
        extract: As for :func:`zoo.wrap`.
        source: Where ``make`` is defined.
        pretrained: Whether ``make`` sets the network's values, rather than the random seed.
        tokenizer: The network's own tokenizer; texts only.
        frozen: Parameters that stay frozen.
        values: A file with other values, without the head's.
        as_wrapped: :meth:`OwnBackbone.values` of the backbone that the user has; empty for one that
            is being built.
    """

    make: Callable[[], Any]
    spec: BackboneSpec
    head: str
    stages: Mapping[str, Iterable[str]] | Iterable[str] | None
    extract: Extract | None
    source: CodeSource
    pretrained: bool = True
    tokenizer: Tokenizer | None = None
    frozen: tuple[str, ...] = ()
    values: Path | None = None
    as_wrapped: tuple[tuple[int, int], ...] = field(default=(), repr=False)

    @property
    def weights(self) -> Weights | None:
        """The values that training starts from; ``None`` if they are random."""
        if not self.pretrained:
            return None
        return Weights(tag=TAG, uri=self.source.short, classes=0)

    def resolved(self) -> Resolved:
        """As if the network were a name, resolved."""
        return Resolved(self.spec, loader=self.build, own=self.weights)

    def build(self, spec: BackboneSpec) -> OwnBackbone:
        """Build the backbone, on the CPU in float32, with the network's values.

        Raises:
            UsageError: The network cannot be made, or takes inputs of one size only.
            ContractError: It has no such head, or a parameter is in no stage.
        """
        size, own = getattr(spec.input, "size", None), getattr(self.spec.input, "size", None)
        if getattr(spec.input, "fixed_size", False) and size != own:
            raise UsageError(
                f"--image-size {size} is not possible: {self.spec.name} takes images of {own} pixels",
                hint="Leave --image-size out, or build the network for another size.",
            )
        extract = self.extract
        with torch.random.fork_rng(enabled=self.pretrained), _building():
            if self.pretrained:  # layers that are new in it are the same in every process
                seed_devices(SEEDS[0])
            made = made_network(self.make, self.spec.name)
            if isinstance(made, OwnBackbone):
                extract, made = made.extract, _whole(made)
        backbone = self.around(made, spec, extract)
        if self.values:
            backbone.load_native_state_dict(read_state_dict(self.values), source=str(self.values))
        for path, parameter in backbone.net.named_parameters():
            if path in self.frozen:
                parameter.requires_grad_(False)
        return backbone

    def around(
        self, network: nn.Module, spec: BackboneSpec, extract: Extract | None = None
    ) -> OwnBackbone:
        """Make a backbone of a network that has been built; the network is not copied."""
        backbone = OwnBackbone.wrap(
            network.cpu().float(),
            spec=spec,
            head=self.head,
            stages=self.stages,
            extract=extract or default_extract(network),
            tokens=TokenOptions(tokenizer=self.tokenizer),
        )
        backbone.read_tokenizer(None)
        backbone.own = self
        return backbone

    def sources(self) -> tuple[CodeSource, ...]:
        """The code that builds it and, if it is elsewhere, that of ``extract``."""
        name = getattr(self.extract, "__qualname__", None)
        return (self.source, *([replace(self.source, name=name)] if name else []))

    def to_json(self) -> dict[str, Any]:
        """``network`` of ``run.json``."""
        stages = self.stages
        if isinstance(stages, Mapping):
            stages = {name: list(paths) for name, paths in stages.items()}
        return {
            **self.source.to_json(),
            "head": self.head,
            "stages": stages,
            "extract": self.extract and getattr(self.extract, "__qualname__", None),
        }


def _whole(backbone: OwnBackbone) -> nn.Module:
    """The network of a wrapped one, with its head, for the seed of now unless it has been changed."""
    own = backbone.own
    if not own.as_wrapped:  # newly built, so not shared
        backbone.net.set_submodule(backbone.head_path, backbone.head, strict=True)
        return backbone.net
    if backbone.values() == own.as_wrapped:  # made earlier, from another seed
        made = made_network(own.make, backbone.spec.name)
        return _whole(made) if isinstance(made, OwnBackbone) else made
    network = backbone.native_network()
    assert network is not None  # the head's place was checked when it was wrapped
    return network


_BUILDING: ContextVar[bool] = ContextVar("_BUILDING", default=False)


@contextmanager
def _building() -> Iterator[None]:
    token = _BUILDING.set(True)
    try:
        yield
    finally:
        _BUILDING.reset(token)


def is_building() -> bool:
    """Whether :meth:`OwnNetwork.build` is calling the user's function.

    What that function wraps has been measured before: it is made once, from the seed of now.
    """
    return _BUILDING.get()


def made_network(make: Callable[[], Any], name: str) -> nn.Module:
    """The network that ``make`` returns.

    Raises:
        UsageError: It fails, or returns something else.
    """
    try:
        made = make()
    except ZooError:  # of zoo.wrap in it
        raise
    except Exception as error:  # of the user's own code
        raise UsageError(
            f"{name} failed to build the network: {first_line(error, kind=True)}",
            hint="It is called without arguments and must return the network, a torch.nn.Module.",
        ) from error
    if not isinstance(made, nn.Module):
        raise UsageError(
            f"{name} returned {type(made).__name__}, not a torch.nn.Module",
            hint="It is called without arguments and must return the network.",
        )
    return made


def default_extract(net: nn.Module) -> Extract:
    """Calls a network on the inputs of a batch, and on the attention mask if it takes two inputs."""
    masks = _positional(net) >= 2

    def extract(net: nn.Module, batch: Batch) -> Tensor:
        inputs = next(iter(batch.values()))
        mask = batch.get("attention_mask")
        features: Tensor = net(inputs, mask) if masks and mask is not None else net(inputs)
        return features

    return extract


def _positional(net: nn.Module) -> int:
    parameters = inspect.signature(net.forward).parameters.values()
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(parameter.kind in kinds for parameter in parameters)


def sha256_of_values(backbone: Backbone) -> str:
    """A hash of the names and values of all tensors, without the head's."""
    digest = hashlib.sha256()
    for name, tensor in sorted(backbone.net.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def randomise(backbone: Backbone) -> None:
    """Initialise all parameters as their layers do.

    Raises:
        UsageError: Some parameters are in a module without ``reset_parameters``.
    """
    fixed = []
    for path, module in backbone.net.named_modules():
        reset = getattr(module, "reset_parameters", None)
        if callable(reset):
            reset()
        else:
            fixed += [f"{path}.{k}".strip(".") for k, _ in module.named_parameters(recurse=False)]
    if fixed:
        raise UsageError(
            f"--weights none cannot initialise {', '.join(fixed[:3])} of {backbone.spec.name}",
            hint="Give their module a reset_parameters(), or wrap a function that builds the network "
            "with random values.",
        )
