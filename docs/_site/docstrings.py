"""The docstrings' roles, ``:class:`zoo.Run```, as the site's own links and code."""

from __future__ import annotations

import re
from typing import Any

import griffe

import zoo

_ROLE = re.compile(r":\w+:`~?([\w.]+)`")
_LITERAL = re.compile(r"``(.+?)``", re.DOTALL)


class Roles(griffe.Extension):
    """Rewrites every docstring before it is parsed."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Links to what the page of the Python API has, and code for the rest."""
        if obj.docstring is not None:
            text = _ROLE.sub(_link, obj.docstring.value)
            obj.docstring.value = _LITERAL.sub(r"`\1`", text)


def _link(role: re.Match[str]) -> str:
    name = role[1].removeprefix("zoo.").rpartition(".")[2]
    return f"[`{role[1]}`][zoo.{name}]" if name in zoo.__all__ else f"`{role[1]}`"
