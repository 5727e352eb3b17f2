"""Several adapter runs that share one base in memory, with fast switching between them."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from zoo.contract.network.backbone import Backbone
from zoo.engine.device import choose_device
from zoo.engine.forward import EXACT, Forward
from zoo.errors import NameLookupError, RunError, UsageError, ZooError, did_you_mean
from zoo.registry.registry import Registry
from zoo.runs.predictor import Predictor
from zoo.runs.run import Run
from zoo.weights.loading import adapter_layers
from zoo.weights.loading.adapter_file import AdapterParts, put_on
from zoo.weights.loading.build import build_base, read_parts

_OF_DATA = ("max_length", "longest", "size", "crop", "fixed_size")


@dataclass(frozen=True)
class _Loaded:
    """A loaded adapter.

    Attributes:
        run: Its run.
        head: Its head.
        layers: Its layers, by path; each wraps a layer of the base.
        changed: The values that it gives to tensors of the base, by name.
    """

    run: Run
    head: nn.Module
    layers: Mapping[str, nn.Module]
    changed: Mapping[str, Tensor]


class AdapterSet:
    """Adapter runs that share one base in memory; :func:`load_adapters` makes one.

    One adapter is in use at a time. :meth:`use` exchanges the adapter's layers, its head and the
    few tensors of the base that it has changed, and copies nothing. Logits are those of the run
    opened alone.

    Attributes:
        backbone: The base, with the adapter in use.
    """

    def __init__(self, backbone: Backbone, adapters: Mapping[str, _Loaded]) -> None:
        self.backbone, self._adapters = backbone, adapters
        self._lock = threading.RLock()
        self._current: str | None = None
        self._head = backbone.head
        net = backbone.net
        self._own = {**dict(net.named_parameters()), **dict(net.named_buffers())}
        self._values: dict[str, Tensor] = {}
        self._modules = {
            path: net.get_submodule(path) for each in adapters.values() for path in each.layers
        }
        self.use(next(iter(adapters)))

    def __repr__(self) -> str:
        return f"AdapterSet({self.backbone.spec.name}: {', '.join(self.names)})"

    def __len__(self) -> int:
        return len(self._adapters)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the adapters: those of the runs from ``zoo add``, else of their folders."""
        return tuple(self._adapters)

    @property
    def current(self) -> str:
        """Name of the adapter in use."""
        assert self._current is not None
        return self._current

    def run(self, name: str) -> Run:
        """The run of an adapter."""
        return self._named(name).run

    def use(self, name: str) -> Backbone:
        """Use another adapter; returns the backbone with it, in evaluation mode.

        Raises:
            NameLookupError: No adapter has that name.
        """
        loaded = self._named(name)
        with self._lock:
            if name != self._current:
                self._take_off()
                self._values = {key: self._own[key].data for key in loaded.changed}
                for key, value in loaded.changed.items():
                    self._own[key].data = value
                for path, layer in loaded.layers.items():
                    self.backbone.net.set_submodule(path, layer, strict=True)
                self.backbone.head, self._current = loaded.head, name
            for module in (self.backbone, loaded.head, *loaded.layers.values()):
                if module.training:
                    module.eval()
        return self.backbone

    def predictor(self, name: str) -> Predictor:
        """A predictor for one of the adapters; it can be used alongside those of the others.

        Raises:
            NameLookupError: No adapter has that name.
        """
        run = self._named(name).run
        device = next(self.backbone.parameters()).device
        with self._lock:
            before = self.current
            self._take_off()  # its layers would be moved, and not the others'
            forward = Forward(self.backbone, device=device, precision=EXACT)
            self.use(before)
        return run.predictor_of(forward, using=partial(self._using, name))

    @contextmanager
    def _using(self, name: str) -> Iterator[None]:
        with self._lock:
            self.use(name)
            yield

    def _take_off(self) -> None:
        """Restore the layers, tensors and head of the base."""
        if self._current is None:
            return
        for path in self._adapters[self._current].layers:
            self.backbone.net.set_submodule(path, self._modules[path], strict=True)
        for key, value in self._values.items():
            self._own[key].data = value
        self.backbone.head, self._values, self._current = self._head, {}, None

    def _named(self, name: str) -> _Loaded:
        if name not in self._adapters:
            guess = did_you_mean(name, self.names)
            raise NameLookupError(
                f"no adapter is called {name!r}.{guess}", hint=f"Adapters: {', '.join(self.names)}."
            )
        return self._adapters[name]


def load_adapters(
    runs: Sequence[Run | str | Path] | Mapping[str, Run | str | Path],
    *,
    device: str = "auto",
    registry: Registry | None = None,
) -> AdapterSet:
    """Load adapter runs of one base; the base is loaded once.

    Args:
        runs: Runs, their folders, or names from ``zoo add``; or a mapping from names of your choice.
        device: ``auto``, ``cpu``, ``cuda``, …
        registry: The installed plugins by default.

    Raises:
        UsageError: There are no runs, they fit different bases, or two have the same name.
        RunError: A run holds no adapter, or it or the base is missing or damaged.
    """
    registry = registry or Registry.discover()
    named = _named_runs(runs, registry)
    first = next(iter(named.values()))
    read = {name: _read(run, registry) for name, run in named.items()}
    for name, run in named.items():
        if base_of(run) != base_of(first):
            base = read[name].saved.base
            raise UsageError(
                f"{run.folder} is an adapter of {base.backbone} ({base.weights}, sha256 "
                f"{base.sha256[:12]}), and {first.folder} of another base",
                hint="Load adapters of one base together; 'zoo adapters' lists them by base.",
            )
    try:
        backbone, _ = build_base(
            first.spec, first.folder, unpadded=first.unpadded, registry=registry
        )
        backbone.to(choose_device(device))
        loaded = {name: _loaded(backbone, run, read[name], registry) for name, run in named.items()}
    except ZooError as error:
        raise RunError(
            f"the adapters cannot be loaded: {error.message}", hint=error.hint
        ) from error
    return AdapterSet(backbone.eval(), loaded)


def load_predictors(
    runs: Sequence[Run | str | Path], *, device: str = "auto", registry: Registry | None = None
) -> dict[str, Predictor]:
    """Load runs to predict with; adapter runs of one base share it in memory.

    Args:
        runs: Runs, their folders, or names from ``zoo add``.
        device: ``auto``, ``cpu``, ``cuda``, …
        registry: The installed plugins by default.

    Returns:
        The predictors by the names of the runs, in the given order.

    Raises:
        ZooError: As :func:`load_adapters`, or :meth:`zoo.Run.predictor`.
    """
    registry = registry or Registry.discover()
    named = _named_runs(runs, registry)
    groups: dict[object, dict[str, Run]] = {}
    for name, run in named.items():
        groups.setdefault(base_of(run) or name, {})[name] = run
    found: dict[str, Predictor] = {}
    for group in groups.values():
        if len(group) == 1:
            found |= {name: run.predictor(device=device) for name, run in group.items()}
        else:
            adapters = load_adapters(group, device=device, registry=registry)
            found |= {name: adapters.predictor(name) for name in group}
    return {name: found[name] for name in named}


def base_of(run: Run) -> tuple[str, str] | None:
    """The key by which runs share a base; ``None`` for a whole network."""
    adapter = run.record.get("adapter")
    if adapter is None:
        return None
    spec: dict[str, Any] = {**run.spec.to_json(), "weights": None}
    given = spec["input"]
    skipped = () if given.get("fixed_size") else _OF_DATA
    network = {**spec, "input": {k: v for k, v in given.items() if k not in skipped}}
    return repr(network), str(adapter["base"]["sha256"])


def _named_runs(
    runs: Sequence[Run | str | Path] | Mapping[str, Run | str | Path], registry: Registry
) -> dict[str, Run]:
    if isinstance(runs, Mapping):
        named = {name: _opened(run, registry) for name, run in runs.items()}
    else:
        named = {}
        for given in runs:
            run = _opened(given, registry)
            if run.name in named:
                raise UsageError(
                    f"two runs are called {run.name!r}: {named[run.name].folder} and {run.folder}",
                    hint="Give one of them a name with 'zoo add', or in Python a mapping from names "
                    "to runs.",
                )
            named[run.name] = run
    if not named:
        raise UsageError("there are no runs to load", hint="Give at least one adapter run.")
    return named


def _opened(given: Run | str | Path, registry: Registry) -> Run:
    return given if isinstance(given, Run) else Run(given, registry=registry)


def _read(run: Run, registry: Registry) -> AdapterParts:
    registry.require(run.record.get("plugins", {}), f"the run {run.folder}")
    registry.check_loader(run.spec, run.folder, run.record.get("plugins"))
    return read_parts(run.folder, registry)[1]


def _loaded(backbone: Backbone, run: Run, parts: AdapterParts, registry: Registry) -> _Loaded:
    """Load an adapter on the base, and remove it from the base again."""
    net = backbone.net
    originals = {**dict(net.named_parameters()), **dict(net.named_buffers())}
    changed = [name for name in parts.base if name in originals]
    before = {name: originals[name].data for name in changed}
    for name in changed:
        originals[name].data = before[name].clone()
    try:
        run.add_head(backbone, registry)
        put_on(backbone, parts)
        layers = dict(adapter_layers.layers(net))
        values = {name: originals[name].data for name in changed}
    finally:
        adapter_layers.remove(net)
        for name in changed:
            originals[name].data = before[name]
    for layer in layers.values():
        layer.eval()
    return _Loaded(run, backbone.head.eval(), layers, values)
