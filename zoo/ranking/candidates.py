"""The backbones to rank, those left out with reasons, and their order. No torch."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from zoo.contract.spec import Weights
from zoo.errors import RunError, ZooError
from zoo.modalities import modality_of
from zoo.registry.registry import Registry
from zoo.registry.resolution import Resolved
from zoo.system.network import hub_reachable, reachable
from zoo.weights.find import choose
from zoo.weights.local_weights import HUB, LocalWeights, hub_parts

UNREACHABLE = "weights not on this machine, and their host is unreachable"
UNPUBLISHED = "no weights published"
RANDOM = "its values are random"


@dataclass(frozen=True)
class Candidate:
    """A backbone that can be ranked here.

    Attributes:
        name: Name to type.
        resolved: The resolved name.
        weights: Weights to start from; ``None`` for random initialisation.
        cached: Whether the weights are on this machine.
    """

    name: str
    resolved: Resolved
    weights: Weights | None
    cached: bool

    @property
    def params(self) -> int:
        """Number of parameters; 0 if unknown."""
        return self.resolved.spec.params

    @property
    def license(self) -> str:
        """License of the weights, else of the code."""
        return (self.weights.license if self.weights else "") or self.resolved.spec.license

    @property
    def accuracy(self) -> float:
        """Published top-1 accuracy, in percent; 0 if there is none that is comparable."""
        if self.weights is None or self.resolved.run is not None:
            return 0.0
        metrics = self.weights.metrics.items()
        return next((v for k, v in metrics if k.endswith(("top1", "accuracy"))), 0.0)


@dataclass(frozen=True)
class LeftOut:
    """A backbone that is not ranked, and why."""

    name: str
    reason: str


@dataclass
class Hosts:
    """Which hosts are reachable; each is asked once."""

    _known: dict[str, bool] = field(default_factory=dict)

    def reachable(self, uri: str) -> bool:
        """Whether weights can be downloaded from their host."""
        web = uri.startswith(("http://", "https://"))
        host = urlsplit(uri).netloc if web else uri.partition(":")[0]
        if host not in self._known:
            self._known[host] = reachable(uri) if web else host == "hf" and hub_reachable()
        return self._known[host]


def find_candidates(
    registry: Registry,
    modality: str,
    names: Sequence[str] = (),
    *,
    max_params: int | None = None,
    random: bool = False,
    own: Mapping[str, Resolved] | None = None,
) -> tuple[list[Candidate], list[LeftOut]]:
    """The backbones to rank, in order, and those that are left out.

    Args:
        registry: Names and plugins.
        modality: Modality of the data.
        names: Names and patterns (``timm/resnet*``); by default, of this modality, the registered
            runs, all short names, and whatever has weights on this machine, also models in the Hub's
            cache that no catalogue has.
        max_params: Maximum number of parameters.
        random: Whether to rank backbones without available weights from random initialisation.
        own: The user's own networks, by those of the names that are theirs.

    Raises:
        NameLookupError: A name is unknown.
    """
    found, left_out = list[Candidate](), list[LeftOut]()
    local_weights, hosts = LocalWeights(), Hosts()
    for name, resolve in _wanted(registry, modality, names, local_weights, own or {}).items():
        try:
            resolved = resolve()
        except ZooError as error:
            left_out.append(LeftOut(name, error.message))
            continue
        found_or_not = _candidate(
            name, resolved, modality, max_params, random, local_weights, hosts
        )
        (found if isinstance(found_or_not, Candidate) else left_out).append(found_or_not)  # type: ignore[arg-type]
    return in_order(found), left_out


def in_order(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Runs first, then cached weights, weights to download, and random initialisation.

    Within each group, the Pareto front of size and published accuracy comes first, the small ones
    ahead; then the next front; and so on.
    """
    groups: dict[int, list[Candidate]] = {0: [], 1: [], 2: [], 3: []}
    for candidate in candidates:
        groups[_group(candidate)].append(candidate)
    return [one for group in groups.values() for layer in _layers(group) for one in layer]


def _group(candidate: Candidate) -> int:
    if candidate.resolved.run is not None:
        return 0
    if candidate.weights is None:
        return 3
    return 1 if candidate.cached else 2


def _layers(candidates: list[Candidate]) -> Iterator[list[Candidate]]:
    left = sorted(candidates, key=lambda one: (one.params, -one.accuracy))
    while left:
        layer, beaten = list[Candidate](), list[Candidate]()
        for one in left:
            beats = not layer or one.accuracy > layer[-1].accuracy
            (layer if beats else beaten).append(one)
        yield layer
        left = beaten


def _wanted(
    registry: Registry,
    modality: str,
    names: Sequence[str],
    local_weights: LocalWeights,
    own: Mapping[str, Resolved],
) -> dict[str, Callable[[], Resolved]]:
    """How to resolve each backbone, by the name to type."""
    wanted = dict[str, Callable[[], Resolved]]()

    def add(name: str, resolved: Resolved | None = None) -> None:
        wanted.setdefault(name, lambda: resolved or registry.resolve(name))

    for name in names:
        if name in own:
            add(name, own[name])
        elif _is_pattern(name):
            for one in _matching(registry, name, modality):
                add(one)
        else:
            add(name, registry.resolve(name))  # an unknown name is an error
    if not names:
        for one in _usual(registry, modality, local_weights):
            add(one)
    return wanted


def _is_pattern(name: str) -> bool:
    return any(c in name for c in "*?[") and not name.partition("/")[0].endswith(":")


def _matching(registry: Registry, pattern: str, modality: str) -> Iterator[str]:
    yield from _runs(registry, modality, pattern)
    short = _titles(registry)
    for name, row in registry.rows(pattern):
        if row["modality"] == modality:
            yield short.get(name, name)


def _usual(registry: Registry, modality: str, local_weights: LocalWeights) -> Iterator[str]:
    """Registered runs, short names, then backbones and tags with weights on this machine."""
    yield from _runs(registry, modality)
    for alias, name in registry.short_names.items():
        row = registry.row(name)
        if row is not None and row["modality"] == modality:
            yield alias
    short, published = _titles(registry), set[str]()
    for name, row in registry.rows():
        published.update(weights["uri"] for weights in row["weights"])
        for weights in row["weights"] if row["modality"] == modality else ():
            if local_weights.find(weights["uri"]):
                title = short.get(name, name)
                yield title if weights["default"] else f"{title}.{weights['tag']}"
    yield from _from_the_hub(registry, modality, local_weights, published)


def _from_the_hub(
    registry: Registry, modality: str, local_weights: LocalWeights, published: Collection[str]
) -> Iterator[str]:
    """Models in the Hub's cache that no catalogue has; any that is not a backbone is omitted."""
    known = {hub_parts(uri)[0] for uri in published if uri.startswith(HUB)}
    for repo in local_weights.hub_models():
        if repo not in known:
            with suppress(ZooError):
                spec = registry.resolve(f"{HUB}{repo}").spec
                if spec.modality == modality:
                    yield spec.name


def _titles(registry: Registry) -> dict[str, str]:
    """The first short name of each canonical name that has one."""
    short = dict[str, str]()
    for alias, name in registry.short_names.items():
        short.setdefault(name, alias)
    return short


def _runs(registry: Registry, modality: str, pattern: str = "*") -> Iterator[str]:
    """Registered runs of this modality, and unreadable ones."""
    for name, run in registry.runs(pattern):
        if isinstance(run, RunError) or run.spec.modality == modality:
            yield name


def _candidate(
    name: str,
    resolved: Resolved,
    modality: str,
    max_params: int | None,
    random: bool,
    local_weights: LocalWeights,
    hosts: Hosts,
) -> Candidate | LeftOut:
    spec = resolved.spec
    if spec.modality != modality:
        return LeftOut(name, f"takes {modality_of(spec).nouns}")
    if max_params is not None and spec.params > max_params:
        return LeftOut(name, f"more than {max_params:,} parameters")
    if resolved.loader and resolved.own:
        return Candidate(name, resolved, resolved.own, True)
    weights = choose(spec, resolved.weights)
    if weights is not None:
        cached = local_weights.find(weights.uri) is not None
        if cached or hosts.reachable(weights.uri):
            return Candidate(name, resolved, weights, cached)
    if random:
        return Candidate(name, resolved, None, True)
    if resolved.loader:
        return LeftOut(name, RANDOM)
    return LeftOut(name, UNREACHABLE if weights else UNPUBLISHED)
