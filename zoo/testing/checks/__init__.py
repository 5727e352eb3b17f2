"""The contract of backbones as checks, one function each.

``CHECKS`` has all of them by name; ``META_CHECKS`` those that need no values. A check takes a
freshly built :class:`zoo.Backbone`, may change it, and raises ``AssertionError``.
"""

from __future__ import annotations

from collections.abc import Mapping

from zoo.testing.checks import freezing, inputs, modes, outputs, state, structure
from zoo.testing.checks.base import REGISTERED, Check, NotApplicable, sample_batch

__all__ = [
    "CHECKS",
    "META_CHECKS",
    "Check",
    "NotApplicable",
    "sample_batch",
]

_MODULES = (structure, outputs, inputs, freezing, state, modes)

CHECKS: Mapping[str, Check] = {
    check.name: check
    for module in _MODULES
    for check in REGISTERED
    if check.run.__module__ == module.__name__
}

META_CHECKS: Mapping[str, Check] = {name: check for name, check in CHECKS.items() if check.on_meta}
