"""``zoo check``: check plugins and backbones against the contract."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import click

from zoo.cli import completion
from zoo.cli.options import max_params_option
from zoo.cli.output import emit_json, json_option, note, say
from zoo.errors import UsageError, ZooError

if TYPE_CHECKING:
    from zoo.contract.spec import BackboneSpec
    from zoo.registry.registry import Registry
    from zoo.testing.suite import CheckResult

WORDS = {"passed": "ok", "failed": "FAILED", "skipped": "skipped", "expected": "expected"}
MANY = 100
"""Number of backbones above which a plugin is sampled unless ``--all`` is given."""


@click.command(
    epilog="""\b
Examples:
  zoo check acme
  zoo check acme --fix
  zoo check resnet18 timm/resnet10t
  zoo check timm --max-params 10M
"""
)
@click.argument(
    "names",
    nargs=-1,
    required=True,
    metavar="PLUGIN|BACKBONE...",
    shell_complete=completion.names_or_plugins,
)
@click.option("--all", "everything", is_flag=True, help="Check every backbone of a large plugin.")
@max_params_option("Skip checks that need weights for networks larger than this.", default="100M")
@click.option(
    "--fix",
    "fixing",
    is_flag=True,
    help="Write the measured feature_dim and params into the plugin's source or JSON catalogue.",
)
@click.option("--quiet", "-q", is_flag=True, help="Print only failures and counts.")
@json_option("Print a JSON list of outcomes.")
def command(
    names: tuple[str, ...],
    everything: bool,
    max_params: int,
    fixing: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Check plugins and backbones against the contract.

    Checks a plugin's catalogue, then its backbones; for a plugin with more than a hundred, only
    the smallest of each family (a backbone's first tag). Exit status 1 if a check fails, an
    exempted one passes, or nothing was checked.
    """
    from zoo.registry.registry import Registry

    registry = Registry.discover()
    outcomes = []
    for outcome in _outcomes(names, registry, max_params, everything=everything, fixing=fixing):
        outcomes.append(outcome)
        if not as_json and not (quiet and outcome.status in ("passed", "skipped")):
            _print(outcome)
    counts = Counter(outcome.status for outcome in outcomes)
    if as_json:
        emit_json([asdict(outcome) for outcome in outcomes])
    else:
        say(
            f"{counts['passed']:,} passed, {counts['failed']:,} failed, "
            f"{counts['skipped']:,} skipped, {counts['expected']:,} expected failures"
        )
    if not counts["passed"] + counts["expected"]:
        note("Nothing was checked.")
    if counts["failed"] or not counts["passed"] + counts["expected"]:
        raise click.exceptions.Exit(1)


def _outcomes(
    names: tuple[str, ...], registry: Registry, limit: int, *, everything: bool, fixing: bool
) -> Iterator[CheckResult]:
    from zoo.testing.suite import examine

    plugins = {status.name for status in registry.plugins()}
    for name in names:
        if name in plugins:
            registry.plugin(name)  # raises, with the reason, if it cannot be used
            specs = _chosen(name, registry, everything=everything)
            if fixing:
                specs = [_fixed(spec, registry) for spec in specs]
            yield from _recorded(name, registry, _of_plugin(name, specs, registry, limit))
        else:
            resolved = registry.resolve(name)
            spec = resolved.spec
            if resolved.run is not None:  # counts the run's own head, which is not checked
                spec = replace(spec, params=0)
            elif fixing and spec.plugin in plugins:
                spec = _fixed(spec, registry)
            exemptions = registry.exemptions(spec.plugin) if spec.plugin in plugins else ()
            yield from examine(spec, exemptions, max_params=limit)


def _fixed(spec: BackboneSpec, registry: Registry) -> BackboneSpec:
    """The spec with measured values, which are written where its plugin states it."""
    from zoo.testing.fixing import fix, in_words

    try:
        found = fix(spec, registry.plugin(spec.plugin).source)
    except ZooError as error:  # which the checks report
        note(f"{spec.name} was not measured: {error.message}")
        return spec
    except OSError as error:
        raise UsageError(
            f"failed to write the measured values of {spec.name}: {error.strerror or error}",
            hint="Fix the permissions of the plugin's source, or run without --fix.",
        ) from error
    if found is None:
        return spec
    note(in_words(found))
    return found.spec


def _of_plugin(
    name: str, specs: list[BackboneSpec], registry: Registry, limit: int
) -> Iterator[CheckResult]:
    from zoo.testing.suite import examine, examine_plugin, family, sample

    yield from examine_plugin(name, registry)
    exemptions = registry.exemptions(name)
    families = sample(specs)
    for spec in specs:
        smallest = families[family(spec)].name
        yield from examine(spec, exemptions, max_params=limit, smallest=smallest)


def _recorded(
    name: str, registry: Registry, outcomes: Iterator[CheckResult]
) -> Iterator[CheckResult]:
    """Pass on the outcomes, and record in the plugin's status how many checks failed."""
    failed = 0
    for outcome in outcomes:
        failed += outcome.status == "failed"
        yield outcome
    registry.set_verdict(name, f"fails {failed:,} checks of 'zoo check {name}'" if failed else "")


def _chosen(plugin: str, registry: Registry, *, everything: bool) -> list[BackboneSpec]:
    from zoo.testing.suite import backbones_of, sample

    specs = [registry.spec(name) for name in backbones_of(plugin, registry)]
    if everything or len(specs) <= MANY:
        return specs
    chosen = sorted(sample(specs).values(), key=lambda spec: spec.name)
    note(
        f"{plugin} has {len(specs):,} backbones: checking the smallest of each of {len(chosen)} families"
    )
    return chosen


def _print(outcome: CheckResult) -> None:
    message = f": {outcome.message}" if outcome.message else ""
    say(f"{WORDS[outcome.status]:<8}  {outcome.subject}  {outcome.check}{message}")
