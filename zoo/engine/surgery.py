"""Changes to the inside of a backbone before it trains, and again whenever its run is opened.

A change is a function that takes the backbone and alters it: another layer in the middle, a layer
frozen. ``run.json`` records the function's name and nothing imports it from there: a run folder is
data, so whoever opens it names the function again.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import linecache
import sys
from collections.abc import Callable
from pathlib import Path

from zoo.contract.backbone import Backbone
from zoo.errors import UsageError
from zoo.system.environment import importable

Surgery = Callable[[Backbone], None]


def name_of(surgery: Surgery | None) -> str | None:
    """``module:function``; ``None`` for no surgery."""
    return f"{surgery.__module__}:{surgery.__qualname__}" if surgery else None


def sha256_of_code(surgery: Surgery | None) -> str | None:
    """What identifies the code of a surgery; ``None`` for no surgery, or where no source is found.

    It is the file of its module, and of a function in a script or notebook the function alone: the
    rest of those changes between start and resume.
    """
    if surgery is None:
        return None
    linecache.checkcache()  # the file as it is now
    try:
        own = surgery.__module__ == "__main__"
        code = inspect.getsource(surgery if own else sys.modules[surgery.__module__])
    except (OSError, TypeError, KeyError):
        return None
    return hashlib.sha256(code.encode(errors="surrogatepass")).hexdigest()


def find_surgery(name: str) -> Surgery:
    """The function that ``module:function`` names; modules in the working directory count.

    They do so while the module is imported, not when its function imports more.

    Raises:
        UsageError: There is no such function.
    """
    module, colon, function = name.partition(":")
    try:
        with importable(Path.cwd()):
            found: Surgery = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise UsageError(
            f"--surgery {name} cannot be imported: {error}",
            hint="Write MODULE:FUNCTION, e.g. --surgery changes:widen for widen() in changes.py.",
        ) from error
    if not colon or not callable(found):
        raise UsageError(f"--surgery {name} is no function", hint="Write MODULE:FUNCTION.")
    return found


def apply_surgery(backbone: Backbone, name: str | None, surgery: Surgery | None) -> tuple[str, ...]:
    """Carry out the surgery that ``name`` asks for.

    Returns:
        The parameters that it has frozen; they stay frozen in every phase.

    Raises:
        UsageError: It was not given, or another one was.
        ContractError: It has left parameters in no stage, or a stage without any.
    """
    if name != name_of(surgery):
        wanted = f"with the surgery {name!r}" if name else "without surgery"
        raise UsageError(
            f"the run was made {wanted}, and given was {name_of(surgery) or 'none'}",
            hint="The zoo does not import it by itself. Give the function: "
            f"--surgery {name}, or surgery=… in Python."
            if name
            else "Leave the surgery out.",
        )
    if surgery is None:
        return ()
    surgery(backbone)
    backbone.check_stages()
    return tuple(path for path, p in backbone.net.named_parameters() if not p.requires_grad)
