"""The checks as pytest tests, one per check and backbone."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from typing import Any

import pytest

from zoo.contract.exemptions import reason_for
from zoo.contract.network.backbone import Backbone
from zoo.contract.spec import BackboneSpec
from zoo.errors import ZooError, did_you_mean
from zoo.registry.registry import Registry
from zoo.system.tensors.meta import without_values
from zoo.testing.catalogue import PLUGIN_CHECKS
from zoo.testing.checks import CHECKS, Check, NotApplicable
from zoo.testing.published import PublishedCatalogue
from zoo.testing.suite import MAX_PARAMS, catalogue_of, sample
from zoo.weights.loading.build import build

Decorator = Callable[[Callable[..., None]], Callable[..., None]]


def parametrize_backbones(
    backbones: str | Iterable[BackboneSpec],
    *,
    checks: Iterable[str] | None = None,
    max_params: int = MAX_PARAMS,
    argument: str = "check",
) -> Decorator:
    """Run a test once for every check of every backbone.

    The test's argument is a function that runs the check. Exempted checks (``zoo_exemptions``) are
    strict expected failures with the exemption's reason.

    Args:
        backbones: A canonical name or a glob over them, or specs, which may differ from those of
            the catalogue: ``registry.spec("acme/net").with_input(size=64)``. All of a plugin,
            ``acme/*``, includes the checks of its catalogue, heads and strategies. What takes
            long is checked on the smallest backbone of each family, or on every given spec.
        checks: Names of the checks to run; all by default.
        max_params: Networks with more parameters are built without values, and only the checks
            that need none (``zoo.testing.META_CHECKS``) are run on them.
        argument: The name of the test's argument.

    Raises:
        pytest.UsageError: There is no such backbone or check.
    """
    chosen = _checks(checks)
    try:
        registry = Registry.discover()
        if isinstance(backbones, str):
            specs = [registry.spec(name) for name in registry.names(backbones)]
            smallest = list(sample(specs).values())
        else:
            specs = smallest = list(backbones)
        whole = _whole(backbones, registry)
        exemptions = {plugin: registry.exemptions(plugin) for plugin in {s.plugin for s in specs}}
    except ZooError as error:
        raise pytest.UsageError(str(error)) from error
    if not specs and not whole:
        raise pytest.UsageError(
            f"no backbone matches {backbones!r}; 'zoo plugins' lists the installed plugins"
        )
    cases = [
        pytest.param(functools.partial(_check_plugin, name, registry, title), id=f"{name}-{title}")
        for name in whole
        for title in PLUGIN_CHECKS
        if title in chosen
    ]
    cases += [
        _case(check, spec, real, reason_for(exemptions[spec.plugin], check.name, spec.arch))
        for spec in specs
        for real in [spec.params <= max_params]
        for check in CHECKS.values()
        if check.name in chosen
        if check.applies(spec) and (real or check.on_meta)
        if spec in smallest or not check.once_per_family
    ]
    return pytest.mark.parametrize(argument, cases)


def _checks(names: Iterable[str] | None) -> set[str]:
    known = {*CHECKS, *PLUGIN_CHECKS}
    chosen = known if names is None else set(names)
    for name in sorted(chosen - known):
        raise pytest.UsageError(f"no check is called {name!r}.{did_you_mean(name, sorted(known))}")
    return chosen


def _whole(pattern: object, registry: Registry) -> list[str]:
    """The plugin of a pattern that covers all of it: ``acme/*``."""
    return [plugin.name for plugin in registry.plugins() if pattern == f"{plugin.name}/*"]


def _check_plugin(name: str, registry: Registry, title: str) -> None:
    try:
        PLUGIN_CHECKS[title](_catalogue(name, registry))
    except NotApplicable as reason:
        pytest.skip(str(reason))


@functools.lru_cache(maxsize=1)
def _catalogue(name: str, registry: Registry) -> PublishedCatalogue:
    """What a plugin publishes; it is asked once for all checks."""
    return catalogue_of(name, registry)


def _case(check: Check, spec: BackboneSpec, real: bool, exempted: str) -> Any:
    def run() -> None:
        try:
            check(copy.deepcopy(_built(spec, real)))
        except NotApplicable as reason:
            pytest.skip(str(reason))

    marks = [pytest.mark.xfail(reason=exempted, strict=True)] if exempted else []
    return pytest.param(run, id=f"{spec.name}-{check.name}", marks=marks)


@functools.lru_cache(maxsize=1)
def _built(spec: BackboneSpec, real: bool) -> Backbone:
    """Build a backbone; the last one is cached, as its checks run one after another."""
    import torch

    from zoo.system.tensors.seeds import seed_devices

    with torch.random.fork_rng(), nullcontext() if real else without_values():
        seed_devices(0)
        return build(spec, None)
