"""Checks of a plugin apart from its backbones: its catalogue, heads, strategies."""

from __future__ import annotations

import copy
import importlib
import json
import pickle
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

from zoo.contract.commands import CommandSpec
from zoo.contract.exemptions import Exemption
from zoo.contract.extensions import imported
from zoo.contract.readers import registered_readers
from zoo.contract.spec import BackboneSpec
from zoo.engine.chosen_strategy import STRATEGY
from zoo.engine.heads import HEAD
from zoo.errors import ZooError, first_line
from zoo.export.exporters import EXPORTER
from zoo.modalities.augmentations import AUGMENTATION
from zoo.registry.discovery import PluginSource
from zoo.registry.offers import Offer, OfferKind
from zoo.registry.side_effects import MAX_SECONDS
from zoo.system.tensors.seeds import seed_devices
from zoo.tasks import TASK
from zoo.tasks.losses import LOSS
from zoo.tasks.metrics import METRIC
from zoo.testing.checks import CHECKS, NotApplicable
from zoo.testing.offered.adapters import check_adapter
from zoo.testing.offered.exporters import check_exporter
from zoo.testing.offered.heads import check_head
from zoo.testing.offered.losses import check_loss
from zoo.testing.offered.metrics import check_metric
from zoo.testing.offered.strategies import check_strategy
from zoo.weights.find_adapter import ADAPTER

LEGAL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*(/[A-Za-z0-9][A-Za-z0-9_.+-]*)*")
"""Names without special meaning in a shell, a file system or the command line."""

_ASK = """
import json, sys
from zoo.registry.discovery import Plugin, PluginSource
from zoo.registry.side_effects import observed
with observed() as side_effects:
    answer = Plugin(PluginSource(**json.loads(sys.argv[1]))).call("zoo_backbones")
    count = len(list(answer or ()))
print(json.dumps([side_effects.seconds, side_effects.imported, side_effects.printed, count]), file=sys.__stdout__)
"""


@dataclass(frozen=True)
class PublishedCatalogue:
    """A plugin's catalogue, for the checks.

    Attributes:
        source: The plugin's entry point.
        specs: Its backbones, with canonical names.
        exemptions: The checks that its backbones are exempted from.
        commands: Its commands for ``zoo``.
        offers: Returns what it offers of a kind: heads, strategies.
    """

    source: PluginSource
    specs: Sequence[BackboneSpec]
    exemptions: Sequence[Exemption]
    commands: Sequence[CommandSpec] = ()
    offers: Callable[[OfferKind], Sequence[Offer[Any]]] = lambda _: ()

    @cached_property
    def asked(self) -> list[Any]:
        """Seconds, heavy imports, whether it printed, and the count, of a process of its own."""
        given = {"name": self.source.name, "value": self.source.value}
        facts = json.dumps({**given, "distribution": "", "version": ""})
        command = [sys.executable, "-c", _ASK, facts]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"reading the catalogue failed: {done.stderr.strip()[-300:]}"
        answer: list[Any] = json.loads(done.stdout.splitlines()[-1])
        return answer


PluginCheck = Callable[[PublishedCatalogue], None]


def the_catalogue_needs_no_torch(plugin: PublishedCatalogue) -> None:
    """Reading the catalogue does not import torch, or a library that depends on it."""
    assert not plugin.asked[1], f"it imports {', '.join(plugin.asked[1])}"


def the_catalogue_loads_quickly(plugin: PublishedCatalogue) -> None:
    """Importing the plugin and reading its catalogue takes at most two seconds."""
    assert plugin.asked[0] <= MAX_SECONDS, f"it takes {plugin.asked[0]:.1f} s"


def nothing_is_printed(plugin: PublishedCatalogue) -> None:
    """Neither the import nor the catalogue writes to standard output."""
    assert not plugin.asked[2], "it prints"


def specs_round_trip_through_json(plugin: PublishedCatalogue) -> None:
    """Each spec is equal to itself after conversion to JSON and back."""
    for spec in plugin.specs:
        text = json.dumps(spec.to_json(), allow_nan=False)
        assert BackboneSpec.from_json(json.loads(text)) == spec, f"{spec.name} is changed by JSON"


def specs_can_be_copied_and_pickled(plugin: PublishedCatalogue) -> None:
    """``copy.deepcopy`` and ``pickle`` give equal specs."""
    for spec in plugin.specs:
        assert copy.deepcopy(spec) == spec, f"a copy of {spec.name} is not equal to it"
        assert pickle.loads(pickle.dumps(spec)) == spec, f"{spec.name} does not survive pickling"


def names_are_valid(plugin: PublishedCatalogue) -> None:
    """Names consist of letters, digits and ``_ . + -``, and no two differ in case only."""
    odd = [s.name for s in plugin.specs if not LEGAL.fullmatch(s.name)]
    assert not odd, f"invalid names: {odd[:5]}"
    folded: dict[str, str] = {}
    for spec in plugin.specs:
        other = folded.setdefault(spec.name.lower(), spec.name)
        assert other == spec.name, f"{other} and {spec.name} differ only in letter case"


def weights_are_described(plugin: PublishedCatalogue) -> None:
    """All weights have a tag without spaces, a supported URI, and a hexadecimal sha256."""
    for spec in plugin.specs:
        for weights in spec.weights:
            name = f"{spec.name}.{weights.tag}"
            assert re.fullmatch(r"[^\s/]+", weights.tag), f"{name} has an invalid tag"
            assert weights.uri, f"{name} has no source"
            assert not weights.uri.startswith("http:"), f"{name} is downloaded without encryption"
            digits = re.fullmatch(r"|[0-9a-f]{8,64}", weights.sha256)
            assert digits, f"{name} has the sha256 {weights.sha256!r}; expected 8 to 64 digits"


def loaders_can_be_imported(plugin: PublishedCatalogue) -> None:
    """Every ``loader`` names an existing function."""
    for loader in sorted({spec.loader for spec in plugin.specs}):
        module, _, function = loader.partition(":")
        found = getattr(importlib.import_module(module), function, None)
        assert callable(found), f"the loader {loader} does not exist"


def commands_can_be_imported(plugin: PublishedCatalogue) -> None:
    """Every command's ``target`` is a click command, and has a help text."""
    import click

    for spec in plugin.commands:
        module, _, attribute = spec.target.partition(":")
        found = getattr(importlib.import_module(module), attribute, None)
        assert isinstance(found, click.Command), f"{spec.target} is not a click command"
        assert (found.help or "").strip(), f"{spec.target} has no help text"


def heads_can_be_trained(plugin: PublishedCatalogue) -> None:
    """Every head has the requested number of outputs, gets gradients, and can be reopened."""
    with torch.random.fork_rng():
        seed_devices(0)
        _each(plugin.offers(HEAD), check_head)


def strategies_make_valid_phases(plugin: PublishedCatalogue) -> None:
    """Every strategy makes valid phases for any stages; those that need an argument are not called."""
    _each(plugin.offers(STRATEGY), check_strategy)


def metrics_have_sensible_values(plugin: PublishedCatalogue) -> None:
    """Every metric is finite or says why not, is best for perfect predictions, and ignores order."""
    _each(plugin.offers(METRIC), check_metric)


def losses_can_be_trained(plugin: PublishedCatalogue) -> None:
    """Every loss is finite, lower for correct than for wrong predictions, and has a gradient."""
    _each(plugin.offers(LOSS), check_loss)


def adapters_can_be_trained(plugin: PublishedCatalogue) -> None:
    """Every adapter starts without effect, alone changes in a step, and merges without a difference."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        _each(plugin.offers(ADAPTER), check_adapter)


def exports_match_the_run(plugin: PublishedCatalogue) -> None:
    """Every export format reproduces the run's outputs, or says why it cannot be loaded."""
    _each(plugin.offers(EXPORTER), check_exporter)


def functions_can_be_imported(plugin: PublishedCatalogue) -> None:
    """Tasks, metrics, losses, augmentations, formats and readers name existing functions."""
    for kind in (TASK, METRIC, LOSS, AUGMENTATION, EXPORTER):
        _each(plugin.offers(kind), _check_functions)
    for reader in registered_readers().values():
        if reader.plugin == plugin.source.name:
            assert callable(imported(reader.read)), f"the reader {reader.read} is not a function"


def _check_functions(offer: Offer[Any]) -> None:
    given = offer.value
    fields = getattr(given, "__dataclass_fields__", {}) if not isinstance(given, type) else {}
    functions = [
        *getattr(given, "measures", {}).values(),
        *(getattr(given, name) for name in ("formula", "apply", "write", "run") if name in fields),
    ]
    for function in filter(None, functions):  # an exporter may have no 'run'
        assert callable(imported(function)), f"the {offer} names {function!r}, not a function"


def _each(offers: Sequence[Offer[Any]], check: Callable[[Offer[Any]], None]) -> None:
    """Check all, and list those that fail.

    Raises:
        NotApplicable: None fails, but some cannot be checked.
    """
    failures, skipped = [], []
    for offer in offers:
        try:
            check(offer)
        except NotApplicable as reason:
            skipped.append(str(reason))
        except (AssertionError, ZooError) as error:
            message = getattr(error, "message", str(error))
            failures.append(message if str(offer) in message else f"{offer}: {message}")
        except Exception as error:
            failures.append(f"{offer} raised {first_line(error, kind=True)}")
    assert not failures, "; ".join(failures)
    if skipped:
        raise NotApplicable("; ".join(skipped))


def exemptions_match_checks_and_backbones(plugin: PublishedCatalogue) -> None:
    """Every exemption names an existing check, and published backbones."""
    names = [spec.arch for spec in plugin.specs]
    for exemption in plugin.exemptions:
        known = exemption.check in CHECKS
        assert known, f"there is no check called {exemption.check!r}"
        for pattern in exemption.backbones:
            some = Exemption(check=exemption.check, reason="-", backbones=(pattern,))
            assert any(map(some.covers, names)), f"{exemption.check}: no backbone is {pattern!r}"


PLUGIN_CHECKS: Mapping[str, PluginCheck] = {
    check.__name__: check
    for check in (
        the_catalogue_needs_no_torch,
        the_catalogue_loads_quickly,
        nothing_is_printed,
        specs_round_trip_through_json,
        specs_can_be_copied_and_pickled,
        names_are_valid,
        weights_are_described,
        loaders_can_be_imported,
        commands_can_be_imported,
        heads_can_be_trained,
        strategies_make_valid_phases,
        functions_can_be_imported,
        metrics_have_sensible_values,
        losses_can_be_trained,
        adapters_can_be_trained,
        exports_match_the_run,
        exemptions_match_checks_and_backbones,
    )
}
