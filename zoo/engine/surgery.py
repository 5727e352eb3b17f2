"""Surgery: a function that modifies a backbone before training, and whenever its run is opened.

It may replace or freeze layers. ``run.json`` records the function's name, but zoo never imports it
from there: a run folder is data, so the user names the function when opening it.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import linecache
import sys
from collections.abc import Callable
from pathlib import Path

from zoo.contract.network.backbone import Backbone
from zoo.errors import UsageError
from zoo.system.environment import importable

Surgery = Callable[[Backbone], None]


def name_of(surgery: Surgery | None) -> str | None:
    """``module:function``; ``None`` for no surgery."""
    return f"{surgery.__module__}:{surgery.__qualname__}" if surgery else None


def sha256_of_code(surgery: Surgery | None) -> str | None:
    """A hash of the code of a surgery; ``None`` without surgery or source.

    It covers the module's file; for a function in a script or notebook only the function, since the
    rest may change before resuming.
    """
    if surgery is None:
        return None
    linecache.checkcache()  # the file as it is now
    try:
        in_script = surgery.__module__ == "__main__"
        code = inspect.getsource(surgery if in_script else sys.modules[surgery.__module__])
    except (OSError, TypeError, KeyError):
        return None
    return hashlib.sha256(code.encode(errors="surrogatepass")).hexdigest()


def find_surgery(name: str) -> Surgery:
    """Import ``module:function``; the module may be in the working directory.

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
        raise UsageError(f"--surgery {name} is not a function", hint="Write MODULE:FUNCTION.")
    return found


def apply_surgery(backbone: Backbone, name: str | None, surgery: Surgery | None) -> tuple[str, ...]:
    """Apply the surgery named ``name``.

    Returns:
        The parameters that it has frozen; they stay frozen in every phase.

    Raises:
        UsageError: The given function is missing, or is another one.
        ContractError: A parameter is in no stage, or a stage has no parameters.
    """
    if name != name_of(surgery):
        wanted = f"with the surgery {name!r}" if name else "without surgery"
        raise UsageError(
            f"the run was trained {wanted}, got {name_of(surgery) or 'none'}",
            hint="zoo does not import it by itself. Pass the function in Python, as surgery=…; "
            "'zoo finetune --resume' and 'zoo rerun' take --surgery MODULE:FUNCTION."
            if name
            else "Remove the surgery.",
        )
    if surgery is None:
        return ()
    surgery(backbone)
    backbone.check_stages()
    return tuple(path for path, p in backbone.net.named_parameters() if not p.requires_grad)
