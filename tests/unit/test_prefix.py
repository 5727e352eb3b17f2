"""A frozen beginning runs once, and the rest goes on from its outputs as if it had run again."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import zoo
from zoo import Backbone, BackboneSpec, ImageInput
from zoo.engine.prefix import OUTPUTS, find_prefix


def images(side: int) -> list[dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    return [
        {"pixel_values": torch.randn(count, 3, side, side, generator=generator)} for count in (2, 3)
    ]


def texts(vocabulary: int) -> list[dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    batches = []
    for count, length in ((2, 9), (3, 13)):
        ids = torch.randint(5, vocabulary, (count, length), generator=generator)
        mask = torch.ones_like(ids)
        mask[0, length // 2 :] = 0
        batches.append({"input_ids": ids, "attention_mask": mask})
    return batches


@pytest.mark.parametrize(
    ("name", "until", "side", "cut", "shape"),
    [
        ("cnn", "conv1", 32, "conv1", (32, 16, 16)),
        ("timm/resnet10t", "layer2", 32, "layer2", (128, 4, 4)),
        ("squeezenet1_1", "stage1", 32, "features.5", (128, 3, 3)),
        ("timm/test_vit", "blocks.1", 160, "blocks.1", (101, 64)),
    ],
)
def test_the_cut_is_the_last_module_before_what_trains(
    name: str, until: str, side: int, cut: str, shape: tuple[int, ...]
) -> None:
    backbone = zoo.load(name, weights="none")
    backbone.freeze(upto=until)
    prefix = find_prefix(backbone, images(side))
    assert prefix is not None
    assert (prefix.cut, prefix.shape) == (backbone.net.get_submodule(cut), shape)


class Net(nn.Module):
    """Two layers and a head; ``way`` says how the first one's output gets to the second."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way = way
        self.first, self.middle, self.second = (nn.Conv2d(3, 3, 3, padding=1) for _ in range(3))
        self.runs = 0

    def forward(self, x: Tensor) -> Tensor:
        self.runs += 1
        made = self.first(x)
        if self.way == "around":
            return self.second(self.middle(made) + made).mean((2, 3))  # type: ignore[no-any-return]
        if self.way == "beside":
            return (self.second(self.middle(made)) + x).mean((2, 3))  # type: ignore[no-any-return]
        return self.second(self.middle(made).relu_()).mean((2, 3))  # type: ignore[no-any-return]


def wrapped(way: str) -> Backbone:
    torch.manual_seed(0)
    spec = BackboneSpec(
        name="net", modality="image", feature_dim=3, params=252, input=ImageInput(size=8),
        loader="acme:load",
    )  # fmt: skip
    return Backbone.wrap(Net(way), spec=spec, head="head", stages=["first", "middle", "second"])


def test_the_rest_gives_the_same_from_the_outputs_for_any_batch() -> None:
    backbone = wrapped("straight")
    backbone.freeze(upto="middle")
    prefix = find_prefix(backbone, images(8))
    assert prefix is not None
    assert prefix.cut is backbone.net.middle
    batch = {"pixel_values": torch.randn(7, 3, 8, 8)}
    with torch.no_grad():
        outputs = prefix.run(batch)
        assert torch.equal(prefix.features({OUTPUTS: outputs.clone()}), backbone.features(batch))
        assert torch.equal(backbone.features(batch), backbone.features(batch))  # as it was


def test_a_path_around_the_cut_moves_it_or_forbids_it() -> None:
    around, beside = wrapped("around"), wrapped("beside")
    for backbone in (around, beside):
        backbone.freeze(upto="middle")
    # The sum needs both outputs: from the first layer's on everything runs again.
    found = find_prefix(around, images(8))
    assert found is not None
    assert found.cut is around.net.first
    assert find_prefix(beside, images(8)) is None


def test_without_a_frozen_beginning_there_is_none() -> None:
    backbone = wrapped("straight")
    assert find_prefix(backbone, images(8)) is None
    backbone.freeze("middle", "second")
    assert find_prefix(backbone, images(8)) is None


def test_embeddings_alone_are_not_worth_it_and_layers_of_texts_are() -> None:
    backbone = zoo.load("lstm", weights="none")
    backbone.freeze(upto="embedding")
    assert find_prefix(backbone, texts(500)) is None
