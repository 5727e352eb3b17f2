"""Which checks of the contract run every day. ``zoo check`` runs all of them, as the slow proofs do."""

from __future__ import annotations

from zoo.testing import CHECKS

FREEZING = "frozen_stages_stay_fixed_and_others_train"
ONNX = "can_be_written_as_onnx"
"""Seconds for each network; tests/export writes those of all families."""

LONG = [
    FREEZING,
    "can_be_exported",
    "works_under_bfloat16_autocast",
    "adapters_can_be_added_and_merged",
]
"""They train, adapt or export the network, once for every prefix of its stages or once for all."""

SIZE = "params_is_the_number_of_parameters"
"""Not on small images: a network built for them has fewer positions than the catalogue counts."""

QUICK = [name for name in CHECKS if name not in {*LONG, ONNX, SIZE}]
SHAPES = ["stages_are_disjoint_and_complete", "features_have_the_declared_width"]
"""The least that says whether the head's width and the stages are those of the network."""
STRUCTURE = [
    "stages_run_in_order",
    "the_head_can_have_any_number_of_outputs",
    "adapter_targets_exist_and_exclude_the_head",
]
"""Beside ``SHAPES``, what differs from network to network; the sizes of images remain."""
