"""Ways of running: inference mode, bfloat16 autocast, export."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zoo.contract.network.backbone import Backbone, Batch
from zoo.testing.checks.base import assert_close, check, small_batch

BF16_COSINE = 0.9
"""Least cosine between features in bfloat16 and in float32: random networks are deep and rough."""


@check()
def works_in_inference_mode(backbone: Backbone) -> None:
    """``torch.inference_mode`` gives the features of ``torch.no_grad``."""
    backbone.eval()
    batch = small_batch(backbone)
    with torch.no_grad():
        wanted = backbone.features(batch)
    with torch.inference_mode():
        given = backbone.features(batch)
    assert torch.equal(given, wanted), "inference mode gives other features"


@check()
def works_under_bfloat16_autocast(backbone: Backbone) -> None:
    """Features keep their direction under bfloat16 autocast, and a step backward is finite."""
    backbone.replace_head(2)
    backbone.eval()
    batch = small_batch(backbone)
    device = next(backbone.net.parameters()).device.type
    with torch.no_grad():
        wanted = backbone.features(batch)
    with torch.autocast(device, torch.bfloat16):
        given = backbone.features(batch)
        loss = backbone.head(given).float().square().mean()
    loss.backward()
    assert torch.isfinite(given).all(), "features are not finite in bfloat16"
    # torch's cosine is 0 for features as small as 1e-14, which random networks may give.
    scale = wanted.abs().max()
    near = nn.functional.cosine_similarity(given.detach().float() / scale, wanted / scale, dim=1)
    assert float(near.min()) >= BF16_COSINE, f"cosine {float(near.min()):.3f} to float32"
    lost = [
        n
        for n, p in backbone.named_parameters()
        if p.grad is not None and not p.grad.isfinite().all()
    ]
    assert not lost, f"{len(lost)} gradients are not finite in bfloat16: {lost[:3]}"


@check()
def can_be_exported(backbone: Backbone) -> None:
    """``torch.export`` gives a program with the same outputs."""
    backbone.replace_head(2)
    backbone.eval()
    batch = small_batch(backbone)
    with torch.no_grad():
        wanted = backbone(batch)
        program = torch.export.export(_Plain(backbone, tuple(batch)), tuple(batch.values()))
        given: Tensor = program.module()(*batch.values())
    assert_close(given, wanted, "the exported program gives other outputs")


class _Plain(nn.Module):
    """The backbone with the tensors of a batch as arguments."""

    def __init__(self, backbone: Backbone, names: tuple[str, ...]) -> None:
        super().__init__()
        self.backbone = backbone
        self.names = names

    def forward(self, *tensors: Tensor) -> Tensor:
        batch: Batch = dict(zip(self.names, tensors, strict=True))
        outputs: Tensor = self.backbone(batch)
        return outputs
