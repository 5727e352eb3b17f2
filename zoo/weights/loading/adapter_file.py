"""``adapter.safetensors``: the tensors in which a run differs from its base.

It contains the adapter's tensors (``adapter.…``, with PEFT's names), the head (``head.…``), and
changed tensors of the base (``base.…``): biases, normalisation layers, statistics.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from zoo.contract.adapters import AdapterKind
from zoo.contract.network.backbone import Backbone
from zoo.contract.network.loading import difference, head_for, some
from zoo.errors import WeightsError, first_line
from zoo.registry.adapter_record import SavedAdapter
from zoo.weights.find import file_sha256
from zoo.weights.loading import adapter_layers
from zoo.weights.loading.load import read_state_dict

_ADAPTER, _HEAD, _BASE = "adapter.", "head.", "base."
_RESTORE = "Restore the run folder from a copy."


def fingerprints(net: nn.Module) -> dict[str, bytes]:
    """Hash each tensor of a network, to find those that training changes."""
    return {name: _hash(tensor) for name, tensor in net.state_dict().items()}


def _hash(tensor: Tensor) -> bytes:
    plain = tensor.detach().cpu().contiguous().flatten()
    return hashlib.blake2b(plain.view(torch.uint8).numpy().tobytes(), digest_size=16).digest()


def adapter_state(backbone: Backbone, base: Mapping[str, bytes]) -> dict[str, Tensor]:
    """The tensors of the file.

    Args:
        backbone: After training.
        base: The :func:`fingerprints` of its network before.
    """
    plain = adapter_layers.plain_state(backbone.net)
    return {
        **_prefixed(_ADAPTER, adapter_layers.tensors(backbone.net)),
        **_prefixed(_BASE, {k: t for k, t in plain.items() if _hash(t) != base.get(k)}),
        **_prefixed(_HEAD, backbone.head.state_dict()),
    }


def read_adapter(path: Path, sha256: str) -> dict[str, Tensor]:
    """Read the file, and check it against the hash in ``run.json``.

    Raises:
        WeightsError: It is missing, damaged, or another file.
    """
    if not path.is_file():
        raise WeightsError(f"there is no {path}", hint=_RESTORE)
    found = file_sha256(path)
    if found != sha256:
        raise WeightsError(
            f"{path} has changed since the run: its sha256 starts with {found[:12]}, in run.json with "
            f"{sha256[:12]}",
            hint=_RESTORE,
        )
    return read_state_dict(path)


@dataclass(frozen=True)
class AdapterParts:
    """An adapter that has been read.

    Attributes:
        saved: Its record.
        kind: Its kind.
        state: The tensors of its file.
        source: The file, for errors.
    """

    saved: SavedAdapter
    kind: AdapterKind
    state: Mapping[str, Tensor]
    source: Path

    @property
    def base(self) -> dict[str, Tensor]:
        """The changed tensors of the base, by their names in the network."""
        return _part(self.state, _BASE)


def put_on(backbone: Backbone, adapter: AdapterParts, *, own_head: bool = True) -> None:
    """Put an adapter onto its base.

    Args:
        backbone: The base.
        adapter: The adapter.
        own_head: Whether the backbone has the head of the run already. If not, a linear head is
            read from the file, and any other head is ignored.

    Raises:
        WeightsError: It does not fit.
    """
    saved, kind, state = adapter.saved, adapter.kind, adapter.state
    adapters, base, head = (_part(state, prefix) for prefix in (_ADAPTER, _BASE, _HEAD))
    others = state.keys() - {
        *_prefixed(_ADAPTER, adapters),
        *_prefixed(_BASE, base),
        *_prefixed(_HEAD, head),
    }
    wrong = [f"{len(others)} unknown: {some(sorted(others))}"] if others else []
    current = backbone.net.state_dict()
    wrong += difference(base, {name: current[name] for name in base if name in current})
    if not own_head:
        fitting = head_for(head, backbone.head, backbone.spec.feature_dim)
        backbone.head, head = fitting or nn.Identity(), head if fitting else {}
    wrong += difference(head, backbone.head.state_dict())
    wrong += _inserted(backbone.net, saved, kind, adapters) if not wrong else []
    if wrong:
        raise WeightsError(
            f"the adapter in {adapter.source} does not fit {backbone.spec.name}: {'; '.join(wrong)}",
            hint=_RESTORE,
        )
    plain = adapter_layers.plain_state(backbone.net)
    with torch.no_grad():
        for name, tensor in base.items():
            plain[name].copy_(tensor)
    backbone.head.load_state_dict(head)


def _inserted(
    net: nn.Module, saved: SavedAdapter, kind: AdapterKind, given: Mapping[str, Tensor]
) -> list[str]:
    """Insert adapters and load them; returns why they do not fit, in words."""
    if not saved.layers:
        return [f"{len(given)} unknown: {some(given)}"] if given else []
    modules = dict(net.named_modules())
    if unknown := [path for path in saved.layers if path not in modules or not path]:
        return [f"{len(unknown)} layers are not there: {some(unknown)}"]
    largest = max((max(tensor.shape, default=0) for tensor in given.values()), default=0)
    if not kind.inserts or (kind.rank and not 1 <= saved.options.rank <= largest):
        return [f"its file has no adapter of rank {saved.options.rank} of the kind {saved.kind!r}"]
    try:
        with torch.random.fork_rng(devices=[]):
            adapter_layers.insert(net, kind, saved.options, saved.layers)
    except Exception as error:  # of PEFT, or of a plugin's kind
        adapter_layers.remove(net)
        return [f"{saved.kind} cannot be inserted: {first_line(error)}"]
    wrong = adapter_layers.load_tensors(net, given)
    if wrong:
        adapter_layers.remove(net)
    return wrong


def _prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}{name}": tensor for name, tensor in tensors.items()}


def _part(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): t for k, t in state.items() if k.startswith(prefix)}
