"""What the contract promises, as functions that raise ``AssertionError`` where it is not kept.

Each check takes a freshly built :class:`zoo.Backbone` and may change it. ``META_CHECKS`` need no
values and also run on the meta device, where the largest networks cost nothing.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping

import safetensors.torch
import torch
from torch import Tensor, nn

from zoo.backbone import Backbone, Batch
from zoo.errors import HeadWidthError

Check = Callable[[Backbone], None]

TOLERANCE = 1e-4


def sample_batch(backbone: Backbone, count: int = 2, *, size: int | None = None) -> Batch:
    """A seeded batch as the spec asks for: noise pictures, or random token ids without padding.

    Args:
        backbone: Decides the kind and the device.
        count: Samples in the batch.
        size: Height and width of the pictures, or number of tokens; the spec's size by default,
            16 tokens at most.
    """
    spec, device = backbone.spec, next(backbone.net.parameters()).device
    generator = torch.Generator().manual_seed(0)
    if spec.modality == "image":
        side = size or spec.image_input.size
        return {"pixel_values": torch.randn(count, 3, side, side, generator=generator).to(device)}
    text = spec.text_input
    length = min(size or 16, text.max_length)
    low = min(5, text.vocab_size - 1)
    ids = torch.randint(low, text.vocab_size, (count, length), generator=generator)
    ids[ids == text.pad_id] = low
    return {"input_ids": ids.to(device), "attention_mask": torch.ones_like(ids).to(device)}


def features_have_the_declared_width(backbone: Backbone) -> None:
    """``features`` gives ``(B, feature_dim)``."""
    backbone.eval()
    with torch.no_grad():
        features = backbone.features(_small_batch(backbone))
    assert features.shape == (2, backbone.spec.feature_dim), (
        f"features are {tuple(features.shape)}, declared (2, {backbone.spec.feature_dim})"
    )


def stages_are_disjoint_and_complete(backbone: Backbone) -> None:
    """Every parameter of the network lies in exactly one stage; names are legal and unique."""
    stages = backbone.stages()
    assert stages, "there are no stages"
    names = [stage.name for stage in stages]
    assert len(set(names)) == len(names), f"stage names repeat: {names}"
    assert not [n for n in names if not n or "," in n or n != n.strip()], f"odd names: {names}"
    held = [path for name in names for path in backbone.stage_parameters(name)]
    assert len(held) == len(set(held)), "a parameter lies in two stages"
    assert set(held) == {path for path, _ in backbone.net.named_parameters()}, "one lies in none"


def the_head_can_have_any_number_of_outputs(backbone: Backbone) -> None:
    """Heads with 1, 2, 5 and 1,000 outputs; a head of another width is refused."""
    backbone.eval()
    with torch.no_grad():
        features = backbone.features(_small_batch(backbone))
        for outputs in (1, 2, 5, 1000):
            backbone.replace_head(outputs)
            assert backbone.head(features).shape == (2, outputs)
    wrong = nn.Linear(backbone.spec.feature_dim + 1, 2)
    try:
        backbone.replace_head(wrong)
    except HeadWidthError:
        return
    raise AssertionError("a head of another width was not refused")


def adapter_targets_exist_and_leave_the_head_out(backbone: Backbone) -> None:
    """Every target is a module of the network, none of them the head or a grouped convolution."""
    modules = dict(backbone.net.named_modules())
    for path in backbone.adapter_targets():
        assert path in modules, f"the target {path} does not exist"
        assert not path.startswith(backbone.head_path), f"the target {path} is the head"
        assert getattr(modules[path], "groups", 1) == 1, f"the target {path} is grouped"


def features_are_finite_and_repeatable(backbone: Backbone) -> None:
    """In evaluation mode two calls give the same finite numbers, alone or in a batch."""
    backbone.eval()
    batch = _small_batch(backbone)
    with torch.no_grad():
        first, second = backbone.features(batch), backbone.features(batch)
        alone = backbone.features({key: value[:1] for key, value in batch.items()})
    assert torch.isfinite(first).all(), "features are not finite"
    assert torch.equal(first, second), "two calls in evaluation mode differ"
    _assert_close(alone, first[:1], "a sample's features depend on the rest of the batch")


def replacing_the_head_keeps_the_backbone(backbone: Backbone) -> None:
    """Backbone tensors and features are bit-identical after two new heads."""
    backbone.eval()
    batch = _small_batch(backbone)
    before = _copy(backbone.net.state_dict())
    with torch.no_grad():
        features = backbone.features(batch)
        backbone.replace_head(3)
        backbone.replace_head(7)
        logits = backbone(batch)
        assert torch.equal(backbone.features(batch), features), "features changed"
        assert torch.equal(logits, backbone.head(features)), "forward is not head(features)"
    _assert_same(before, backbone.net.state_dict(), "replacing the head")
    assert logits.shape == (2, 7)


def frozen_stages_rest_and_the_others_learn(backbone: Backbone) -> None:
    """After three steps in train mode what is frozen is bit-identical, buffers included.

    Tried with nothing frozen, with each of a few prefixes of the stages, and with everything.
    """
    stages = backbone.stages()
    picks = sorted({0, len(stages) // 2, len(stages) - 1})
    batch = _small_batch(backbone, count=3)
    for upto in [None, *(stages[i].name for i in picks)]:
        model = copy.deepcopy(backbone)
        model.replace_head(2)
        if upto is not None:
            model.freeze(upto=upto)
        model.train()
        _assert_frozen_prefix(model, upto, batch)


def gradients_reach_every_parameter(backbone: Backbone) -> None:
    """With nothing frozen, every parameter of backbone and head receives a gradient."""
    backbone.replace_head(2)
    backbone.eval()
    backbone(_small_batch(backbone)).square().sum().backward()
    lost = [name for name, p in backbone.named_parameters() if p.grad is None]
    assert not lost, f"{len(lost)} parameters get no gradient: {lost[:5]}"


def native_weights_round_trip(backbone: Backbone) -> None:
    """``native_state_dict`` through safetensors and back gives the same outputs."""
    backbone.replace_head(5)
    backbone.eval()
    batch = _small_batch(backbone)
    with torch.no_grad():
        before = backbone(batch)
    stored = {k: v.contiguous().clone() for k, v in backbone.native_state_dict().items()}
    state = safetensors.torch.load(safetensors.torch.save(stored))
    with torch.no_grad():
        for parameter in backbone.parameters():
            parameter.add_(1.0)
        taken = backbone.load_native_state_dict(state, strict_head=True)
        after = backbone(batch)
    assert taken, "the head was not taken over"
    assert torch.equal(before, after), "outputs differ after a round trip"


def padding_does_not_change_features(backbone: Backbone) -> None:
    """Text: features are the same with and without padding behind the sequence."""
    if backbone.spec.modality != "text":
        return
    backbone.eval()
    short = sample_batch(backbone, size=6)
    ids, mask = short["input_ids"], short["attention_mask"]
    padding = torch.full((len(ids), 4), backbone.spec.text_input.pad_id)
    padded = {
        "input_ids": torch.cat([ids, padding], dim=1),
        "attention_mask": torch.cat([mask, torch.zeros_like(padding)], dim=1),
    }
    with torch.no_grad():
        _assert_close(backbone.features(padded), backbone.features(short), "padding matters")


META_CHECKS: Mapping[str, Check] = {
    check.__name__: check
    for check in (
        features_have_the_declared_width,
        stages_are_disjoint_and_complete,
        the_head_can_have_any_number_of_outputs,
        adapter_targets_exist_and_leave_the_head_out,
    )
}

CHECKS: Mapping[str, Check] = {
    **META_CHECKS,
    **{
        check.__name__: check
        for check in (
            features_are_finite_and_repeatable,
            replacing_the_head_keeps_the_backbone,
            frozen_stages_rest_and_the_others_learn,
            gradients_reach_every_parameter,
            native_weights_round_trip,
            padding_does_not_change_features,
        )
    },
}


def _small_batch(backbone: Backbone, count: int = 2) -> Batch:
    """A batch of the smallest size that the spec allows, not below 64 pixels."""
    spec = backbone.spec
    if spec.modality == "image" and not spec.image_input.fixed_size:
        size = min(max(spec.image_input.min_size, 64), spec.image_input.size)
        return sample_batch(backbone, count, size=size)
    return sample_batch(backbone, count)


def _assert_frozen_prefix(model: Backbone, upto: str | None, batch: Batch) -> None:
    names = [stage.name for stage in model.stages()]
    frozen = set(names[: names.index(upto) + 1]) if upto else set()
    before = _copy(dict(model.net.named_parameters()))
    whole = _copy(model.net.state_dict())
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=1e-3)
    for _ in range(3):
        optimizer.zero_grad()
        model(batch).square().sum().backward()
        optimizer.step()
    for name in names:
        moved = [
            path
            for path, parameter in model.stage_parameters(name).items()
            if not torch.equal(parameter, before[path])
        ]
        if name in frozen:
            assert not moved, f"frozen up to {upto}, yet {moved[:3]} moved"
        else:
            assert moved, f"frozen up to {upto}, and stage {name} learnt nothing"
    if len(frozen) == len(names):
        _assert_same(whole, model.net.state_dict(), "training the head alone")


def _copy(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key: value.detach().clone() for key, value in state.items()}


def _assert_same(before: Mapping[str, Tensor], after: Mapping[str, Tensor], what: str) -> None:
    changed = [key for key, value in before.items() if not torch.equal(value, after[key])]
    assert not changed, f"{what} changed {len(changed)} tensors: {changed[:3]}"


def _assert_close(given: Tensor, wanted: Tensor, what: str) -> None:
    scale = max(1.0, float(wanted.abs().max()))
    worst = float((given - wanted).abs().max()) / scale
    assert worst <= TOLERANCE, f"{what}: they differ by {worst:.1e} of the largest"
