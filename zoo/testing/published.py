"""What a plugin publishes, for its checks."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from zoo.contract.commands import CommandSpec
from zoo.contract.exemptions import Exemption
from zoo.contract.spec import BackboneSpec
from zoo.registry.discovery import PluginSource
from zoo.registry.offers import Offer, OfferKind

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
        """Seconds, heavy imports, whether it printed, and the count, from a separate process."""
        given = {"name": self.source.name, "value": self.source.value}
        facts = json.dumps({**given, "distribution": "", "version": ""})
        command = [sys.executable, "-c", _ASK, facts]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"reading the catalogue failed: {done.stderr.strip()[-300:]}"
        answer: list[Any] = json.loads(done.stdout.splitlines()[-1])
        return answer


PluginCheck = Callable[[PublishedCatalogue], None]
