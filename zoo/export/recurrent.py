"""LSTM and GRU layers as one operator each, for texts of any length.

``torch.export`` unrolls them over the example's length, which then is fixed. Within :class:`Whole`
they are captured as zoo's own operators instead. Those are then replaced by torch's
(:func:`restore`), so a saved program needs torch alone, or by ONNX's (:func:`translations`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

_OPERATORS: Mapping[Any, Any] = {
    torch.lstm: torch.ops.aten.lstm.input,
    torch.gru: torch.ops.aten.gru.input,
}
"""Functions that the layers call, and their operators."""

_library = torch.library.Library("zoo_export", "DEF")  # type: ignore[no-untyped-call]


def _stand_in(original: Any) -> Any:
    """An operator with the signature of ``original`` that computes shapes only."""
    name = original.name().removeprefix("aten::").partition(".")[0]
    _library.define(str(original._schema).replace(original.name(), name))  # type: ignore[no-untyped-call]
    torch.library.register_fake(f"zoo_export::{name}", _shapes, lib=_library)
    return getattr(torch.ops.zoo_export, name).default


def _shapes(
    inputs: Tensor,
    hidden: Sequence[Tensor] | Tensor,
    params: Sequence[Tensor],  # noqa: ARG001 - the signature of the operators
    has_biases: bool,  # noqa: ARG001
    num_layers: int,  # noqa: ARG001
    dropout: float,  # noqa: ARG001
    train: bool,  # noqa: ARG001
    bidirectional: bool,
    batch_first: bool,  # noqa: ARG001
) -> tuple[Tensor, ...]:
    """``(…, …, directions * width)`` like ``inputs``, and states like those before."""
    states = [hidden] if isinstance(hidden, Tensor) else list(hidden)
    width = states[0].shape[-1] * (2 if bidirectional else 1)
    outputs = inputs.new_empty(*inputs.shape[:-1], width)
    return (outputs, *(torch.empty_like(state) for state in states))


_STAND_INS = {call: _stand_in(original) for call, original in _OPERATORS.items()}
_ORIGINALS = {_STAND_INS[call]: original for call, original in _OPERATORS.items()}


class Whole(TorchFunctionMode):
    """Context in which recurrent layers are captured whole."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:  # signature of torch.overrides
        if func in _STAND_INS and not _packed(args):
            return _STAND_INS[func](*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def _packed(args: Sequence[Any]) -> bool:
    """Whether it is the overload for packed sequences, whose fourth argument is the parameters."""
    return len(args) > 3 and not isinstance(args[3], bool)


def restore(program: torch.export.ExportedProgram) -> None:
    """Replace the operators that :class:`Whole` captured by torch's own."""
    for node in program.graph.nodes:
        if node.op == "call_function" and node.target in _ORIGINALS:
            node.target = _ORIGINALS[node.target]
    program.graph_module.recompile()


def translations() -> dict[Callable[..., Any], Callable[..., Any]]:
    """ONNX translations of the operators that :class:`Whole` captured, for ``torch.onnx``."""
    from onnxscript.function_libs.torch_lib.ops import core

    return {_STAND_INS[torch.lstm]: core.aten_lstm, _STAND_INS[torch.gru]: core.aten_gru}
