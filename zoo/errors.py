"""All exceptions that zoo raises for problems the user can solve.

::

    ZooError
    ├── UsageError            an invalid option or argument
    ├── PolicyError           an invalid registry.toml
    ├── NameLookupError       an unknown backbone, plugin, head or strategy
    │   └── AmbiguousNameError    a name published by several plugins
    ├── PluginError           a broken or disabled plugin
    │   └── PluginTimeoutError    a plugin that does not answer
    ├── ContractError         a backbone that breaks the contract
    │   ├── HeadWidthError        a head whose input width is not ``feature_dim``
    │   └── StageError            an unknown stage or layer
    ├── WeightsError          weights that cannot be downloaded, read or loaded
    │   └── WeightsUnavailable    weights neither on this machine nor downloadable
    ├── DataError             data that cannot be used for training
    │   ├── ClassesError          classes that do not match the request or each other
    │   └── BadFilesError         unreadable files
    ├── WorkersError          data loader processes that failed
    ├── RunError              a run folder that cannot be read or written
    └── Stopped               a run stopped by a signal, which can be resumed

The message says what was given and what was expected; ``hint`` says what to do next. Both are written
with the options of the command line, which prints them on two lines, without a traceback. Python shows
``str(error)``, where :func:`in_python` has put the names of parameters.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable


class ZooError(Exception):
    """Base class of errors shown to the user without a traceback.

    Args:
        message: What was given, and what was expected.
        hint: What to do or type next; may be empty.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return in_python(f"{self.message}\n{self.hint}" if self.hint else self.message)


class UsageError(ZooError):
    """An invalid option or argument."""


class PolicyError(ZooError):
    """An invalid ``registry.toml``; the message names file and line."""


class NameLookupError(ZooError):
    """An unknown backbone, plugin, head or strategy."""


class AmbiguousNameError(NameLookupError):
    """A name published by several plugins, with no order set."""


class PluginError(ZooError):
    """A plugin that cannot be used."""


class PluginTimeoutError(PluginError):
    """A plugin that does not answer in time."""


class ContractError(ZooError):
    """A backbone that breaks the contract of :class:`zoo.Backbone`."""


class HeadWidthError(ContractError):
    """A head whose input width is not the backbone's ``feature_dim``."""


class StageError(ContractError):
    """An unknown stage or layer; the message lists the existing ones."""


class WeightsError(ZooError):
    """Weights that cannot be downloaded, read or loaded."""


class WeightsUnavailable(WeightsError):
    """Weights that are neither on this machine nor downloadable."""


class DataError(ZooError):
    """Data that cannot be used for training."""


class ClassesError(DataError):
    """Classes that do not match the request, or the other splits."""


class BadFilesError(DataError):
    """Unreadable files, listed in ``paths``."""

    def __init__(self, message: str, *, paths: tuple[str, ...] = (), hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.paths = paths


class WorkersError(ZooError):
    """A data loader process ended, or failed to send a batch."""


class RunError(ZooError):
    """A run folder that cannot be read or written."""


class Stopped(ZooError):
    """A run stopped by a signal, whose number is ``signal``; it can be resumed."""

    def __init__(self, message: str, *, hint: str = "", signal: int = 2) -> None:
        super().__init__(message, hint=hint)
        self.signal = signal


def closest(name: str, names: Iterable[str], count: int = 3) -> list[str]:
    """Return the names most similar to ``name``, ignoring case, best first."""
    folded: dict[str, str] = {}
    for candidate in names:
        folded.setdefault(candidate.lower(), candidate)
    near = difflib.get_close_matches(name.lower(), folded, n=count, cutoff=0.5)
    return [folded[match] for match in near]


SYNONYMS = {
    "vision": ("image",),
    "images": ("image",),
    "picture": ("image",),
    "photo": ("image",),
    "nlp": ("text",),
    "texts": ("text",),
    "language": ("text",),
    "sound": ("audio",),
    "speech": ("audio",),
    "linear": ("probe",),
    "linear-probe": ("probe",),
    "frozen": ("probe",),
    "head": ("probe", "linear"),
    "feature-extraction": ("probe",),
    "finetune": ("full",),
    "fine-tune": ("full",),
    "finetuning": ("full",),
    "all": ("full",),
    "peft": ("lora",),
    "qlora": ("lora",),
    "lp-ft": ("two-stage",),
    "lpft": ("two-stage",),
    "half": ("fp16",),
    "float16": ("fp16",),
    "float32": ("fp32",),
    "full": ("fp32",),
    "bfloat16": ("bf16",),
    "mixed": ("auto",),
    "amp": ("auto",),
    "acc": ("accuracy",),
    "top1": ("accuracy",),
    "f1": ("macro-f1", "macro_f1"),
    "auc": ("auroc",),
    "roc-auc": ("auroc",),
    "size": ("params",),
    "year": ("date",),
    "newest": ("date",),
    "time": ("when",),
    "backbone": ("name",),
    "classification": ("single-label",),
    "multiclass": ("single-label",),
    "multilabel": ("multi-label",),
    "cross-entropy": ("ce",),
    "ce": ("cross-entropy",),
    "mse": ("squared", "l2"),
    "tb": ("tensorboard",),
    "torchscript": ("torch-export",),
    "pytorch": ("torch-export", "native"),
    "pt": ("torch-export",),
    "huggingface": ("hf",),
    "transformers": ("hf",),
    "done": ("finished",),
    "complete": ("finished",),
    "interrupted": ("stopped",),
    "unfinished": ("stopped",),
    "running": ("training",),
    "crashed": ("failed",),
    "adam-w": ("adamw",),
}
"""Values that other tools and people use, and what they are called here."""


def nearest_word(name: str, names: Iterable[str]) -> str:
    """Return the name that was meant by ``name``: a synonym, or spelled nearly so; else an empty string."""
    known = {candidate.lower(): candidate for candidate in names}
    word = name.lower().replace("_", "-")
    for meant in SYNONYMS.get(word, ()):
        if meant in known:
            return known[meant]
    begun = [key for key in known if len(word) > 2 and key.startswith(word)]
    near = difflib.get_close_matches(name.lower(), known, n=1, cutoff=_CLOSE)
    near = near or [key for key in known if sorted(key) == sorted(name.lower())]  # dgo: dog
    return known[(near or begun)[0]] if near or len(begun) == 1 else ""


_CLOSE = 0.7  # of difflib: two letters exchanged in a word of four are .75


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Return a suggestion to append to a message, or an empty string."""
    near = nearest_word(name, names)
    return f" Did you mean {near!r}?" if near else ""


def first_line(error: BaseException, *, kind: bool = False) -> str:
    """Return the first line of an error's message, or its class name if it has none.

    Args:
        error: The error.
        kind: Prefix the class name: ``ValueError: it is too large``.
    """
    name = type(error).__name__
    text = error.message if isinstance(error, ZooError) else str(error)
    lines = text.strip().splitlines()
    if not lines:
        return name
    return f"{name}: {lines[0]}" if kind else lines[0]


# -- the names of options in Python --------------------------------------------------------------

PARAMETERS = {
    "clip": "max_grad_norm",
    "crop": "random_crop",
    "range": "value_range",
    "no-plugin": "ZOO_NO_PLUGIN",
}
"""Options that have another name in Python: of a parameter, or of an environment variable."""

_PROSE = re.compile(
    "alone|also|and|are|as|at|but|by|can|cannot|does|for|from|gives|has|have|if|in|is|keeps|may|must|"
    "names|needs|of|once|only|or|other|out|over|reads|removes|sets|takes|than|then|to|too|twice|was|were|"
    "with|without|works"
)
"""Words that follow an option in a sentence; any other is its value."""

_COMMAND = (
    r"(?:zoo|pip|hf|python|ulimit) [a-z-]+(?:(?!\. )[^'\n])*"  # to the end of a sentence or quote
)
_PLACE = r"[^\s'\",;()]*[/:][^\s'\",;()]*(?<![.:])"  # a path, or FILE.py:NAME
_NUMBER = r"-?[\d.]*\d"
_VALUE = rf"{_PLACE}|{_NUMBER}(?: {_NUMBER})?|[A-Z]+\b|[a-z][\w-]*\b"
_OPTION = re.compile(rf"({_COMMAND})|(?<![\w-])--([a-z][a-z0-9-]*)(?: ({_VALUE}))?")


def in_python(text: str) -> str:
    """``text`` with parameters of Python in the place of options of the command line.

    ``--batch-size 8`` becomes ``batch_size=8``, and ``--weights none`` ``weights="none"``. Commands stay.
    """
    return _OPTION.sub(_parameter, text)


def _parameter(match: re.Match[str]) -> str:
    command, flag, value = match.groups()
    if command:
        return str(command)
    name = PARAMETERS.get(flag, flag.replace("-", "_"))
    if value is None:
        return name
    if _PROSE.fullmatch(value):
        return f"{name} {value}"
    if " " in value:
        return f"{name}=({value.replace(' ', ', ')})"
    is_text = value[0].islower() or "/" in value or ":" in value
    return f'{name}="{value}"' if is_text else f"{name}={value}"
