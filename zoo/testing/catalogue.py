"""Checks of a plugin apart from its backbones: its catalogue, and what its other hooks offer."""

from __future__ import annotations

import copy
import importlib
import json
import pickle
import re
from collections.abc import Mapping

from zoo.contract.exemptions import Exemption
from zoo.contract.spec import BackboneSpec
from zoo.registry.side_effects import MAX_SECONDS
from zoo.testing.checks import CHECKS
from zoo.testing.offered.checks import OFFER_CHECKS
from zoo.testing.published import PluginCheck, PublishedCatalogue

LEGAL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*(/[A-Za-z0-9][A-Za-z0-9_.+-]*)*")
"""Names without special meaning in a shell, a file system or the command line."""


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
    invalid = [s.name for s in plugin.specs if not LEGAL.fullmatch(s.name)]
    assert not invalid, f"invalid names: {invalid[:5]}"
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
        *OFFER_CHECKS,
        exemptions_match_checks_and_backbones,
    )
}
