"""How a run was made from other runs, in words."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any


def made_of(record: Mapping[str, Any]) -> str:
    """``greedy soup of 2 of 3 runs: runs/a, runs/b``; empty for a run that was trained."""
    return "; ".join(words(record[key]) for key, (words, _) in _KINDS.items() if record.get(key))


def remarks(record: Mapping[str, Any]) -> list[str]:
    """What a reader of its metrics has to know."""
    return [remark for key, (_, remark) in _KINDS.items() if record.get(key) and remark]


def again(record: Mapping[str, Any]) -> str:
    """The command that makes it again; empty for a run that was trained."""
    for command, key in (("soup", "ingredients"), ("ensemble", "members")):
        if found := record.get(command):
            return shlex.join(["zoo", command, *_runs(found[key])])
    return ""


def _runs(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    return [str(each["run"]) for each in entries]


def _soup(found: Mapping[str, Any]) -> str:
    kept = [each for each in found["ingredients"] if each["kept"]]
    names = ", ".join(_runs(kept))
    return f"greedy soup of {len(kept)} of {len(found['ingredients'])} runs: {names}"


def _ensemble(found: Mapping[str, Any]) -> str:
    each = [f"{member['run']} ({member['backbone']})" for member in found["members"]]
    return f"ensemble of {len(each)} runs: {', '.join(each)}"


def _distilled(found: Mapping[str, Any]) -> str:
    against = "labels" if found["labelled"] else "the teacher, without labels"
    return f"distilled from {found['teacher']} ({found['backbone']}); validated against {against}"


_KINDS: Mapping[str, tuple[Callable[[Mapping[str, Any]], str], str]] = {
    "soup": (
        _soup,
        "The runs of the soup were chosen by the validation metric, which is optimistic.",
    ),
    "distilled": (_distilled, ""),
    "ensemble": (_ensemble, "Heat maps are those of the first run of the ensemble."),
}
"""By key of ``run.json``: the fact, and a remark on the metrics."""
