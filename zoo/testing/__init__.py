"""The contract as checks that plugin authors can run on their backbones.

In a plugin's own tests::

    import zoo.testing

    @zoo.testing.parametrize_backbones("acme/*")
    def test_the_contract_is_kept(check):
        check()

``pytest_plugins = ["zoo.testing.fixtures"]`` in a ``conftest.py`` adds fixtures. Importing this
module imports neither torch nor pytest.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoo.system.tensors.meta import without_values as without_values
    from zoo.testing.checks import CHECKS as CHECKS
    from zoo.testing.checks import META_CHECKS as META_CHECKS
    from zoo.testing.parametrize import parametrize_backbones as parametrize_backbones
    from zoo.testing.suite import CheckResult as CheckResult
    from zoo.testing.suite import examine as examine
    from zoo.testing.suite import examine_plugin as examine_plugin

_PUBLIC = {
    "CHECKS": "zoo.testing.checks",
    "META_CHECKS": "zoo.testing.checks",
    "CheckResult": "zoo.testing.suite",
    "examine": "zoo.testing.suite",
    "examine_plugin": "zoo.testing.suite",
    "parametrize_backbones": "zoo.testing.parametrize",
    "without_values": "zoo.system.tensors.meta",
}

__all__ = sorted(_PUBLIC)


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'zoo.testing' has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return __all__
