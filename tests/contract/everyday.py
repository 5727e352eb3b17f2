"""The contract as the everyday suite checks it: all of it but what takes minutes.

``zoo check`` and the slow proofs run every check, with every prefix of the stages frozen.
"""

from __future__ import annotations

import copy

from zoo import Backbone
from zoo.testing.checks import CHECKS, META_CHECKS, NotApplicable
from zoo.testing.checks.freezing import assert_prefix_rests

LONG = {
    "can_be_exported",
    "frozen_stages_rest_and_the_others_learn",
    "works_under_bfloat16_autocast",
}


def assert_contract_kept(backbone: Backbone, *, but: tuple[str, ...] = ()) -> None:
    """Every quick check, and three steps with a few prefixes of the stages frozen.

    Args:
        backbone: Freshly built; copies of it are checked.
        but: Checks that this family is exempted from.
    """
    for check in CHECKS.values():
        if check.name in LONG or check.name in but or not check.applies(backbone.spec):
            continue
        try:
            check(copy.deepcopy(backbone))
        except NotApplicable:
            continue
    names = [stage.name for stage in backbone.stages()]
    for upto in {None, names[0], names[len(names) // 2], names[-1]}:
        assert_prefix_rests(copy.deepcopy(backbone), upto)


def assert_contract_kept_without_values(backbone: Backbone, *, but: tuple[str, ...] = ()) -> None:
    """What can be checked on the meta device."""
    for check in META_CHECKS.values():
        if check.name not in but and check.applies(backbone.spec):
            try:
                check(backbone)
            except NotApplicable:
                continue
