"""What the contract promises of a plugin beside its backbones: its catalogue, heads, strategies."""

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
        specs: What it publishes, with canonical names.
        exemptions: What it says that its backbones do not pass.
        commands: What it adds to ``zoo``.
        offers: What it offers of a kind: heads, strategies.
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
    """Asking for the catalogue imports no torch and nothing that stands on it."""
    assert not plugin.asked[1], f"it imports {', '.join(plugin.asked[1])}"


def the_catalogue_comes_quickly(plugin: PublishedCatalogue) -> None:
    """Import and catalogue together take no longer than two seconds."""
    assert plugin.asked[0] <= MAX_SECONDS, f"it takes {plugin.asked[0]:.1f} s"


def nothing_is_printed(plugin: PublishedCatalogue) -> None:
    """Neither the import nor the catalogue writes to standard output."""
    assert not plugin.asked[2], "it prints"


def specs_become_json_without_loss(plugin: PublishedCatalogue) -> None:
    """Each spec through JSON and back is the same spec."""
    for spec in plugin.specs:
        text = json.dumps(spec.to_json(), allow_nan=False)
        assert BackboneSpec.from_json(json.loads(text)) == spec, f"{spec.name} is changed by JSON"


def specs_can_be_copied_and_pickled(plugin: PublishedCatalogue) -> None:
    """``copy.deepcopy`` and ``pickle`` give equal specs."""
    for spec in plugin.specs:
        assert copy.deepcopy(spec) == spec, f"a copy of {spec.name} is not equal to it"
        assert pickle.loads(pickle.dumps(spec)) == spec, f"{spec.name} does not survive pickling"


def names_are_legal(plugin: PublishedCatalogue) -> None:
    """Letters, digits and ``_ . + -``, no two names the same but for letter case."""
    odd = [s.name for s in plugin.specs if not LEGAL.fullmatch(s.name)]
    assert not odd, f"invalid names: {odd[:5]}"
    folded: dict[str, str] = {}
    for spec in plugin.specs:
        other = folded.setdefault(spec.name.lower(), spec.name)
        assert other == spec.name, f"{other} and {spec.name} differ only in letter case"


def weights_are_described(plugin: PublishedCatalogue) -> None:
    """Each has a tag without spaces, a source that can be fetched, and hexadecimal digits."""
    for spec in plugin.specs:
        for weights in spec.weights:
            name = f"{spec.name}.{weights.tag}"
            assert re.fullmatch(r"[^\s/]+", weights.tag), f"{name} has an invalid tag"
            assert weights.uri, f"{name} has no source"
            assert not weights.uri.startswith("http:"), f"{name} is downloaded without encryption"
            digits = re.fullmatch(r"|[0-9a-f]{8,64}", weights.sha256)
            assert digits, f"{name} has the sha256 {weights.sha256!r}; expected 8 to 64 digits"


def loaders_can_be_imported(plugin: PublishedCatalogue) -> None:
    """Every ``loader`` names a function that is there."""
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
    """Every head has as many outputs as asked for, takes gradients, and can be opened again."""
    with torch.random.fork_rng():
        seed_devices(0)
        _each(plugin.offers(HEAD), check_head)


def strategies_make_valid_phases(plugin: PublishedCatalogue) -> None:
    """Every strategy makes valid phases for any stages; those that need an argument are not called."""
    _each(plugin.offers(STRATEGY), check_strategy)


def metrics_have_sensible_values(plugin: PublishedCatalogue) -> None:
    """Every metric is finite, or says why not; a perfect prediction is the best; order does not matter."""
    _each(plugin.offers(METRIC), check_metric)


def losses_can_be_trained(plugin: PublishedCatalogue) -> None:
    """Every loss is finite, lower for right than for wrong predictions, and has a gradient."""
    _each(plugin.offers(LOSS), check_loss)


def adapters_can_be_trained(plugin: PublishedCatalogue) -> None:
    """Every adapter changes nothing at first, alone changes in a step, and merges without a difference."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        _each(plugin.offers(ADAPTER), check_adapter)


def exports_answer_as_the_run(plugin: PublishedCatalogue) -> None:
    """Every export format gives a run's outputs when it is loaded again, or says why it cannot be."""
    _each(plugin.offers(EXPORTER), check_exporter)


def functions_can_be_imported(plugin: PublishedCatalogue) -> None:
    """Tasks, metrics, losses, augmentations, formats and readers name functions that are there."""
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
    """Check all, and name every one that fails.

    Raises:
        NotApplicable: None fails, and some cannot be checked.
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


def exemptions_are_of_something(plugin: PublishedCatalogue) -> None:
    """Every exemption names a check that there is, and backbones that are published."""
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
        the_catalogue_comes_quickly,
        nothing_is_printed,
        specs_become_json_without_loss,
        specs_can_be_copied_and_pickled,
        names_are_legal,
        weights_are_described,
        loaders_can_be_imported,
        commands_can_be_imported,
        heads_can_be_trained,
        strategies_make_valid_phases,
        functions_can_be_imported,
        metrics_have_sensible_values,
        losses_can_be_trained,
        adapters_can_be_trained,
        exports_answer_as_the_run,
        exemptions_are_of_something,
    )
}
