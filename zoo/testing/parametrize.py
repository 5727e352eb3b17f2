"""The checks as tests of pytest: one a check and a backbone."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import pytest

from zoo.contract.backbone import Backbone
from zoo.contract.exemptions import reason_for
from zoo.contract.spec import BackboneSpec
from zoo.errors import ZooError
from zoo.registry.registry import Registry
from zoo.testing.checks import CHECKS, Check, NotApplicable
from zoo.weights.build import build

Decorator = Callable[[Callable[..., None]], Callable[..., None]]


def parametrize_backbones(pattern: str, *, argument: str = "check") -> Decorator:
    """Run a test once for every check of every backbone that ``pattern`` names.

    The test's argument is a function without arguments that makes the check. Checks that the
    plugin exempts (``zoo_exemptions``) are expected to fail, strictly.

    Args:
        pattern: A canonical name or a glob over them: ``acme/*``.
        argument: The name of the test's argument.

    Raises:
        pytest.UsageError: No backbone is named, so that nothing would be checked.
    """
    try:
        registry = Registry.discover()
        specs = [registry.spec(name) for name in registry.names(pattern)]
        exemptions = {plugin: registry.exemptions(plugin) for plugin in {s.plugin for s in specs}}
    except ZooError as error:
        raise pytest.UsageError(str(error)) from error
    if not specs:
        raise pytest.UsageError(
            f"no backbone is called {pattern!r}, so that nothing would be checked; "
            "'zoo plugins' shows what is installed"
        )
    cases = [
        _case(check, spec, reason_for(exemptions[spec.plugin], check.name, spec.arch))
        for spec in specs
        for check in CHECKS.values()
        if check.applies(spec)
    ]
    return pytest.mark.parametrize(argument, cases)


def _case(check: Check, spec: BackboneSpec, exempted: str) -> Any:
    def run() -> None:
        try:
            check(copy.deepcopy(_built(spec)))
        except NotApplicable as reason:
            pytest.skip(str(reason))

    marks = [pytest.mark.xfail(reason=exempted, strict=True)] if exempted else []
    return pytest.param(run, id=f"{spec.name}-{check.name}", marks=marks)


@lru_cache(maxsize=1)
def _built(spec: BackboneSpec) -> Backbone:
    """The backbone as it is built; its checks follow each other, so that one is kept."""
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build(spec, None)
