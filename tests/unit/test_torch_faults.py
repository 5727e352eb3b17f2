"""Networks are spared what crashes torch."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.slow
def test_a_group_normalisation_behind_a_frozen_stage_can_be_trained() -> None:
    code = """
import torch
from torch import nn
from zoo import Backbone, BackboneSpec, ImageInput

net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.GroupNorm(2, 8), nn.Flatten(), nn.Linear(8 * 36, 4))
spec = BackboneSpec(
    name="acme/grouped", modality="image", feature_dim=8 * 36, params=0,
    input=ImageInput(size=8), loader="acme:load", license="MIT",
)
backbone = Backbone.wrap(net, spec=spec, head="3", stages=["0", "1"])
backbone.freeze(upto="0")
backbone.to(memory_format=torch.channels_last).train()
images = torch.randn(2, 3, 8, 8).to(memory_format=torch.channels_last)
backbone(images).square().sum().backward()
assert net[1].weight.grad.abs().sum() > 0
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
