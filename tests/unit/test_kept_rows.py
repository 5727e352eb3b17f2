"""The rows of a new head that are kept from an old one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from zoo.engine.heads import mlp
from zoo.engine.linear_fit import Fitted, Prior, Standardised, fit_linear
from zoo.errors import UsageError
from zoo.registry.run_record import FinishedRun
from zoo.tasks import task_named
from zoo.tasks.losses import cross_entropy
from zoo.training.kept_rows import KeptRows, keep_rows, kept_rows


def test_rows_go_by_name_and_the_others_stay_random() -> None:
    old, new = nn.Linear(4, 3), nn.Linear(4, 4)
    before = new.weight[1].clone()
    kept = keep_rows(new, ("c", "new", "a", "other"), old, ("a", "b", "c"))
    assert kept is not None
    assert kept.classes == ("c", "a")
    assert kept.in_words() == "kept the head's rows of 2 of 4 classes: c, a"
    assert torch.equal(new.weight[[0, 2]], old.weight[[2, 0]])
    assert torch.equal(new.bias[[0, 2]], old.bias[[2, 0]])
    assert torch.equal(new.weight[1], before)
    assert kept.prior is not None
    assert torch.equal(kept.prior.weight[[0, 2]], old.weight[[2, 0]])
    assert not kept.prior.weight[[1, 3]].any()


def test_the_layers_below_the_rows_are_kept_too() -> None:
    old, new = mlp(6, 3), mlp(6, 2)
    kept = keep_rows(new, ("b", "new"), old, ("a", "b", "c"))
    assert kept == KeptRows(("b",), 2, None)
    state, theirs = new.state_dict(), old.state_dict()
    assert torch.equal(state["0.weight"], theirs["0.weight"])
    assert torch.equal(state["3.weight"][0], theirs["3.weight"][1])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (nn.Linear(4, 2), mlp(4, 2)),
        (nn.Linear(4, 2), nn.Linear(5, 2)),
        (nn.Linear(4, 2, bias=False), nn.Linear(4, 2)),
        (None, nn.Linear(4, 2)),
    ],
)
def test_heads_of_another_structure_have_no_rows_to_keep(
    old: nn.Module | None, new: nn.Module
) -> None:
    before = {name: tensor.clone() for name, tensor in new.state_dict().items()}
    assert keep_rows(new, ("a", "b"), old, ("a", "b")) is None
    assert all(torch.equal(before[name], tensor) for name, tensor in new.state_dict().items())


def _run(task: str = "single-label", classes: tuple[str, ...] = ("a", "b")) -> Any:
    record = {"classes": list(classes), "task": {"name": task}, "head": "linear"}
    return FinishedRun(Path("runs/old"), "", record, None), nn.Linear(4, len(classes))  # type: ignore[arg-type]


def test_rows_are_kept_for_the_same_task_only() -> None:
    single, several = task_named("single-label"), task_named("multi-label")
    head = nn.Linear(4, 2)
    assert kept_rows(head, ("b", "a"), single, _run(), asked=None) is not None
    assert kept_rows(head, ("b", "a"), several, _run("multi-label"), asked=True) is not None
    assert kept_rows(head, ("b", "a"), several, _run(), asked=None) is None
    regression = task_named("regression")
    assert kept_rows(head, ("b", "a"), regression, _run("regression"), asked=None) is None
    assert kept_rows(head, ("b", "a"), single, _run(), asked=False) is None
    assert kept_rows(head, ("b", "a"), single, None, asked=None) is None


@pytest.mark.parametrize(
    ("found", "asked", "reason"),
    [
        (None, True, "not start from a run"),
        (None, False, "not start from a run"),
        (_run("multi-label"), True, "another task"),
        (_run(classes=("x", "y")), False, "none of these classes"),
        ((_run()[0], None), True, "another structure"),
    ],
)
def test_the_option_is_refused_where_there_is_nothing_to_keep(
    found: Any, asked: bool, reason: str
) -> None:
    with pytest.raises(UsageError, match=reason):
        kept_rows(nn.Linear(4, 2), ("a", "b"), task_named("single-label"), found, asked=asked)


# -- in the solver ----------------------------------------------------------------------------


def _solved(strength: float, prior: Prior | None) -> Fitted:
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(60, 5, generator=generator) * 3 + 1
    labels = (rows[:, 0] > 1).long()

    def loss(logits: Tensor, targets: Tensor) -> Tensor:
        return cross_entropy(logits, targets, None)

    data = Standardised.of(lambda: iter([rows]), centred=True)
    (found,) = fit_linear(
        data, labels, loss, outputs=2, bias=True, strengths=(strength,), prior=prior
    )
    return found


def test_a_strong_penalty_leaves_the_solver_at_the_kept_rows() -> None:
    prior = Prior(torch.randn(2, 5), torch.randn(2))
    strong = _solved(1e7, prior)
    torch.testing.assert_close(strong.weight, prior.weight, atol=1e-3, rtol=0)
    assert not torch.allclose(_solved(1.0, prior).weight, prior.weight, atol=1e-1)


def test_rows_of_zeros_change_nothing() -> None:
    zeros = Prior(torch.zeros(2, 5), torch.zeros(2))
    for one, other in zip(_solved(3.0, None), _solved(3.0, zeros), strict=True):
        torch.testing.assert_close(one, other)
