"""The best epoch's parameters: copies of what may change, and no more than that."""

from __future__ import annotations

import torch

from zoo.engine.checkpoint import Best


def test_what_may_change_is_copied_once_and_what_is_final_never() -> None:
    trained, still, frozen = torch.ones(3), torch.ones(2), torch.ones(4)
    state = {"trained": trained, "still": still, "frozen": frozen}
    best = Best()
    best.keep(state, torch.zeros(1), final={"frozen"})
    first = best.state
    assert first["frozen"].data_ptr() == frozen.data_ptr()
    assert first["still"].data_ptr() != still.data_ptr()
    trained += 1
    assert torch.equal(first["trained"], torch.ones(3))
    best.keep(state, torch.ones(1), final={"frozen"})
    assert torch.equal(best.state["trained"], torch.full((3,), 2.0))
    assert best.state["still"] is first["still"]
    assert best.state["frozen"] is first["frozen"]
    assert torch.equal(best.logits, torch.ones(1))
