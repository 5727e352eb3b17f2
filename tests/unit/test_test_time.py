"""Test-time augmentation: the views of images, texts and a plugin's inputs, and their mean."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

import zoo
from tests.unit.test_modalities import _echoes
from zoo.engine.progress import Quiet
from zoo.errors import PluginError, UsageError
from zoo.modalities import IMAGE, TEXT
from zoo.modalities.files.views import views_of_files
from zoo.registry.registry import Registry
from zoo.runs.test_time import views_of


def test_images_are_mirrored_and_enlarged() -> None:
    spec = Registry.discover().resolve("cnn").spec
    views = IMAGE.test_views(spec, {})
    pixels = torch.rand(2, 3, 16, 16)
    mirrored, middle, both = (view({"pixel_values": pixels})["pixel_values"] for view in views)
    assert torch.equal(mirrored, pixels.flip(-1))
    assert middle.shape == pixels.shape
    ramp = torch.arange(16.0).expand(1, 3, 16, 16)
    enlarged = views[1]({"pixel_values": ramp})["pixel_values"][0, 0, 0]
    assert enlarged[8] == 1 + 8.5 * 14 / 16 - 0.5  # of the 14 columns from the second on
    assert torch.equal(both, middle.flip(-1))
    flat = torch.full((1, 3, 16, 16), 0.25)
    assert torch.equal(views[1]({"pixel_values": flat})["pixel_values"], flat)


def test_what_training_did_not_mirror_or_crop_is_not() -> None:
    spec = Registry.discover().resolve("cnn").spec
    assert len(IMAGE.test_views(spec, {"images": {"mirrored": False}})) == 1  # digits
    assert len(IMAGE.test_views(spec.with_input(random_crop=False), {})) == 1
    with pytest.raises(UsageError, match="no views of the images"):
        views_of(IMAGE, spec.with_input(random_crop=False, flip=False), {})
    text = Registry.discover().resolve("lstm").spec
    with pytest.raises(UsageError, match="no views of the texts"):
        views_of(TEXT, text, {})


def test_a_plugin_offers_views_of_its_batches() -> None:
    spec: Any = replace(Registry.discover().resolve("cnn").spec)
    pings = torch.arange(8.0).view(2, 4)
    sonar = _echoes(views=lambda given, _: [given.roll(1, -1), given * 2])
    views = views_of_files(sonar, spec, lambda: {"pings": pings})
    assert torch.equal(views[0]({"pings": pings})["pings"], pings.roll(1, -1))
    assert torch.equal(views[1]({"pings": pings, "mask": pings})["mask"], pings)
    with pytest.raises(PluginError, match=r"'sonar' returned \(2, 3\), expected \(2, 4\)"):
        views_of_files(
            _echoes(views=lambda given, _: [given[:, 1:]]), spec, lambda: {"pings": pings}
        )
    assert views_of_files(_echoes(), spec, dict) == []


def test_predictions_are_the_mean_of_the_probabilities(tmp_path: Any) -> None:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 255, (24, 24, 3), dtype=np.uint8) for _ in range(40)]
    data = [(image, "light" if image[:12].mean() > 127 else "dark") for image in images]
    run = zoo.finetune(
        *("cnn", data),
        output=tmp_path / "run",
        image_size=24,
        epochs=1,
        workers=0,
        report=False,
        reporter=Quiet(),
    )
    forward = run.forward("cpu")
    with run.loaders(0).plain(zoo_samples(run, images), run.reading) as loader:
        (first, *_) = [forward.place(batch) for batch in loader]
    seen = [first, *(view(first) for view in IMAGE.test_views(run.spec, run.record["data"]))]
    expected = np.mean([run.task.decode(forward.logits(each)) for each in seen], axis=0)
    place = int(first["index"][0])
    found = run.predict(images, tta=True, workers=0)[place]
    for column, name in enumerate(run.classes):
        assert found.to_json()["probabilities"][name] == pytest.approx(
            expected[0, column], abs=1e-5
        )
    plain = run.predict(images, workers=0)[place]
    assert plain.to_json()["probabilities"] != found.to_json()["probabilities"]
    scores = run.evaluate(data, tta=True)["val"].metrics
    assert scores["loss"] != run.evaluate(data)["val"].metrics["loss"]
    with pytest.raises(UsageError, match="reject does not work with tta"):
        run.predict(images, tta=True, reject=0.1)


def zoo_samples(run: zoo.Run, images: list[Any]) -> Any:
    """The samples that ``run.predict`` makes of them."""
    from zoo.runs.predicting import open_new

    options: Any = {"text_column": None, "bad_files": "error", "quoting": None}
    return open_new(run, images, reporter=Quiet(), **options)[0]
