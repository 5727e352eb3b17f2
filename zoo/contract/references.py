"""References to functions and classes as ``module:qualname`` strings, imported when used. No torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, overload

from zoo.errors import ContractError


def reference_to(target: str | Callable[..., Any]) -> str:
    """The ``module:qualname`` of a function or class; a string is returned as it is.

    Raises:
        ContractError: It cannot be imported by name, such as a lambda.
    """
    if isinstance(target, str):
        return target
    module, name = getattr(target, "__module__", None), getattr(target, "__qualname__", "")
    if not module or not name or "<" in name:
        raise ContractError(
            f"{name or type(target).__name__} cannot be imported by its name",
            hint="Define it with 'def' or 'class' at the top level of a module, "
            "or state it as 'module:name'.",
        )
    return f"{module}:{name}"


class Reference:
    """A field of a frozen dataclass that accepts an object or its reference, and stores the reference."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, holder: None, owner: type) -> Reference: ...

    @overload
    def __get__(self, holder: object, owner: type) -> str: ...

    def __get__(self, holder: object | None, owner: type) -> Reference | str:
        if holder is None:
            raise AttributeError(self._name)  # so that the dataclass has no default for it
        text: str = holder.__dict__[self._name]
        return text

    def __set__(self, holder: object, target: str | Callable[..., Any]) -> None:
        holder.__dict__[self._name] = reference_to(target)
