"""Run the contract checks on plugins and backbones."""

from __future__ import annotations

import copy
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch

from zoo.contract.exemptions import Exemption, reason_for
from zoo.contract.network.backbone import Backbone
from zoo.contract.spec import BackboneSpec
from zoo.errors import first_line
from zoo.registry.registry import Registry
from zoo.system.tensors.meta import without_values
from zoo.system.tensors.seeds import seed_devices
from zoo.testing.catalogue import PLUGIN_CHECKS
from zoo.testing.checks import CHECKS, Check, NotApplicable
from zoo.testing.published import PublishedCatalogue
from zoo.weights.loading.build import build

Status = Literal["passed", "failed", "skipped", "expected"]

MAX_PARAMS = 100_000_000
"""Parameters up to which networks are built with values; larger ones live on the meta device."""

BUILT = "can_be_built"


@dataclass(frozen=True)
class CheckResult:
    """Result of one check.

    Attributes:
        subject: The plugin's name, or the backbone's canonical name.
        check: The check's name.
        status: ``passed``, ``failed``, ``skipped`` (not applicable) or ``expected`` (failed, with an
            exemption).
        message: Why it failed or was skipped, or the exemption's reason.
        seconds: Duration.
    """

    subject: str
    check: str
    status: Status
    message: str = ""
    seconds: float = 0.0


def examine_plugin(name: str, registry: Registry) -> Iterator[CheckResult]:
    """Check a plugin's catalogue, and what it offers beside backbones.

    Raises:
        PluginError: The plugin cannot be used.
    """
    catalogue = catalogue_of(name, registry)
    for title, check in PLUGIN_CHECKS.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of libraries, as in run_check
            outcome = _run(name, title, partial(check, catalogue))
        yield outcome


def catalogue_of(name: str, registry: Registry) -> PublishedCatalogue:
    """What a plugin publishes, for the checks.

    Raises:
        PluginError: The plugin cannot be used.
    """
    specs = [registry.spec(backbone) for backbone in backbones_of(name, registry)]
    commands = [spec for plugin, spec in registry.commands() if plugin == name]
    source, exemptions = registry.plugin(name).source, registry.exemptions(name)
    offers = partial(registry.offers_of, plugin=name)
    return PublishedCatalogue(source, specs, exemptions, commands, offers)


def examine(
    spec: BackboneSpec,
    exemptions: Iterable[Exemption] = (),
    *,
    max_params: int = MAX_PARAMS,
    smallest: str = "",
) -> Iterator[CheckResult]:
    """Run all checks on a backbone with random initialisation.

    Args:
        spec: With its canonical name.
        exemptions: Checks that it is known not to pass.
        max_params: Larger networks are built without values; checks that need them are skipped.
        smallest: The backbone of its family that is checked too, and that alone must pass what is
            checked once per family.
    """
    real = spec.params <= max_params
    place: AbstractContextManager[None] = nullcontext() if real else without_values()
    built: list[Backbone] = []

    def make() -> None:
        with torch.random.fork_rng(), place:
            seed_devices(0)
            built.append(build(spec, None))

    yield (first := _run(spec.name, BUILT, make))
    if first.status != "passed":
        return
    for check in CHECKS.values():
        if not check.applies(spec):
            continue
        if not (real or check.on_meta):
            reason = f"needs values, and the network is larger than --max-params {max_params:,}"
            yield CheckResult(spec.name, check.name, "skipped", reason)
            continue
        if check.once_per_family and smallest not in ("", spec.name):
            reason = f"takes long, and is checked on {smallest}, the smallest of its family"
            yield CheckResult(spec.name, check.name, "skipped", reason)
            continue
        exempted = reason_for(exemptions, check.name, spec.arch)
        yield run_check(check, copy.deepcopy(built[0]), exempted)


def run_check(check: Check, backbone: Backbone, exempted: str = "") -> CheckResult:
    """Run one check; it may modify the backbone.

    Args:
        check: What to check.
        backbone: Freshly built.
        exempted: Reason of the exemption, if any.
    """

    def run() -> None:
        with torch.random.fork_rng(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # libraries warn in torch.export
            seed_devices(0)
            check(backbone)

    outcome = _run(backbone.spec.name, check.name, run)
    if not exempted or outcome.status == "skipped":
        return outcome
    if outcome.status == "failed":
        return CheckResult(outcome.subject, check.name, "expected", exempted, outcome.seconds)
    message = f"passes despite an exemption ({exempted}); remove the exemption"
    return CheckResult(outcome.subject, check.name, "failed", message, outcome.seconds)


def backbones_of(plugin: str, registry: Registry) -> list[str]:
    """Canonical names of what a plugin publishes."""
    return [name for name in registry.names() if name.partition("/")[0] == plugin]


def family(spec: BackboneSpec) -> str:
    """The first tag names the family; a backbone without tags is its own family."""
    return spec.tags[0] if spec.tags else spec.name


def sample(specs: Iterable[BackboneSpec]) -> dict[str, BackboneSpec]:
    """The smallest backbone of each family, by family."""
    smallest: dict[str, BackboneSpec] = {}
    for spec in sorted(specs, key=lambda spec: (spec.params, spec.name)):
        smallest.setdefault(family(spec), spec)
    return smallest


def _run(subject: str, title: str, run: Callable[[], None]) -> CheckResult:
    start = time.perf_counter()

    def result(status: Status, message: str = "") -> CheckResult:
        return CheckResult(subject, title, status, message, round(time.perf_counter() - start, 3))

    try:
        run()
    except NotApplicable as reason:
        return result("skipped", str(reason))
    except AssertionError as broken:
        return result("failed", str(broken) or "an assertion without a message failed")
    except (Exception, SystemExit) as error:  # a plugin may call sys.exit
        return result("failed", first_line(error, kind=True))
    return result("passed")
