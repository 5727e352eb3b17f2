"""A progress bar in the output of a notebook's cell, which needs no widgets."""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import escape
from typing import Any

_SECONDS = 0.2
"""Between two updates: each is a message to the browser, and is kept until the cell has run."""


def in_notebook() -> bool:
    """Whether this process runs the cells of a notebook."""
    return hasattr(_shell(), "kernel")


def _shell() -> Any:
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython else None


class NotebookBar:
    """One bar for everything that a cell does: each output that is displayed takes a line."""

    def __init__(self) -> None:
        self._handle: Any = None
        self._cell: object = None

    @contextmanager
    def steps(self, what: str, total: int) -> Iterator[Callable[[], None]]:
        """Show ``total`` steps until the block ends; call the result after each step."""
        done, began = 0, time.monotonic()
        shown = began
        self._show(_bar(what, 0, total, 0))

        def advance() -> None:
            nonlocal done, shown
            done += 1
            if (now := time.monotonic()) - shown >= _SECONDS:
                shown = now
                self._show(_bar(what, done, total, now - began))

        try:
            yield advance
        finally:
            self._show("")

    def _show(self, html: str) -> None:
        ipython: Any = importlib.import_module("IPython.display")
        cell = getattr(_shell(), "execution_count", None)
        if self._handle is None or cell != self._cell:
            self._handle, self._cell = ipython.display(ipython.HTML(html), display_id=True), cell
        else:
            self._handle.update(ipython.HTML(html))


def _bar(what: str, done: int, total: int, seconds: float) -> str:
    left = f", {(total - done) * seconds / done:.0f} s left" if done else ""
    return f"{escape(what)} <progress value='{done}' max='{total}'></progress> {done}/{total}{left}"
