"""The contract as the everyday suite checks it: all of it but what takes minutes.

``zoo check`` and the slow proofs run every check, with every prefix of the stages frozen.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping

from torch import Tensor

from zoo import Backbone
from zoo.testing.checks import CHECKS, META_CHECKS, Check, NotApplicable
from zoo.testing.checks.freezing import assert_prefix_rests

LONG = {
    "can_be_exported",
    "frozen_stages_rest_and_the_others_learn",
    "works_under_bfloat16_autocast",
}

CALLS_THE_NETWORK = "stages_run_in_their_order"
"""The one check of shapes that looks into the forward pass, and not at what comes out of it."""


def assert_contract_kept(backbone: Backbone, *, but: tuple[str, ...] = ()) -> None:
    """Every quick check, and three steps with nothing frozen, and with the first half of the stages.

    Args:
        backbone: Freshly built; copies of it are checked.
        but: Checks that this family is exempted from.
    """
    for check in CHECKS.values():
        if check.name not in LONG and check.name not in but:
            _run(check, copy.deepcopy(backbone))
    names = [stage.name for stage in backbone.stages()]
    for upto in (None, names[len(names) // 2]):
        assert_prefix_rests(copy.deepcopy(backbone), upto)


def assert_shapes_keep_the_contract(backbone: Backbone, *, but: tuple[str, ...] = ()) -> None:
    """What can be checked without values; the head is another afterwards.

    On the meta device a forward pass takes many times as long as on small pictures, and says
    nothing new of shapes that it has seen.
    """
    shapes = _with_features_kept(backbone) if next(backbone.parameters()).is_meta else backbone
    for check in META_CHECKS.values():
        if check.name not in but:
            _run(check, backbone if check.name == CALLS_THE_NETWORK else shapes)


def _run(check: Check, backbone: Backbone) -> None:
    if check.applies(backbone.spec):
        try:
            check(backbone)
        except NotApplicable:
            return


def _with_features_kept(backbone: Backbone) -> Backbone:
    """A copy on the same network that runs once for each shape of the batch."""
    twin = copy.copy(backbone)
    twin._modules = dict(backbone._modules)
    known: dict[tuple[tuple[int, ...], ...], Tensor] = {}

    def features(batch: Mapping[str, Tensor]) -> Tensor:
        shapes = tuple(tuple(tensor.shape) for tensor in batch.values())
        if shapes not in known:
            known[shapes] = backbone.features(batch)
        return known[shapes]

    twin.features = features  # type: ignore[method-assign, assignment]
    return twin
