"""Greedy soups: the mean of the weights of runs, as a run like any other."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import zoo
from tests.end_to_end.conftest import Zoo
from zoo.engine.progress import Quiet
from zoo.errors import RunError, UsageError
from zoo.runs.soup import compute_statistics
from zoo.system.files import sha256_of

Trained = Callable[..., zoo.Run]


@pytest.fixture
def trained(tmp_path: Path, photos: Path) -> Trained:
    """``trained("a", seed=1)``: a run on the same validation samples as all others."""
    for folder in sorted(photos.iterdir()):  # a test split, and a validation split of its own
        for number, file in enumerate(sorted(folder.iterdir())):
            split = ("train", "train", "val", "test")[number % 4]
            target = tmp_path / "split" / split / folder.name
            target.mkdir(parents=True, exist_ok=True)
            file.rename(target / file.name)

    def train(name: str, **options: Any) -> zoo.Run:
        given: Any = {"epochs": 1, "image_size": 32, "workers": 0, **options}
        data = given.pop("data", tmp_path / "split")
        backbone = given.pop("backbone", "cnn")
        output = tmp_path / name
        return zoo.finetune(backbone, data, output=output, report=False, reporter=Quiet(), **given)

    return train


def _changed(run: zoo.Run, factor: float) -> zoo.Run:
    """The run with all weights times ``factor``, and the validation outputs that it would have."""
    file = run.folder / "model.safetensors"
    state = {name: tensor * factor for name, tensor in load_file(file).items()}
    save_file(state, file, {"format": "pt"})
    record = json.loads((run.folder / "run.json").read_text())
    (run.folder / "run.json").write_text(json.dumps({**record, "sha256": sha256_of(file)}))
    return zoo.Run(run.folder)


@pytest.mark.slow
def test_a_soup_is_the_mean_of_the_runs_that_do_not_lower_the_metric(
    trained: Trained, tmp_path: Path, zoo_cli: Zoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    first = trained("a", strategy="full", epochs=2)
    second = trained("b", strategy="full", weights="a", lr=1e-4)
    _changed(trained("c", strategy="full", lr=1e-9), -5.0)  # the mean with it is worse
    done = zoo_cli("soup", "a", "b", "c", "--workers", 0, "--json")
    assert done.code == 0, done.err
    said = json.loads(done.out)
    kept = {each["run"] for each in said["ingredients"] if each["kept"]}
    assert kept == {"a", "b"}
    assert said["run"] == "runs/soup-1"
    soup = zoo.open_run("runs/soup-1")
    ours, one, other = (dict(run.load().named_parameters()) for run in (soup, first, second))
    for name in ours:
        torch.testing.assert_close(ours[name], (one[name] + other[name]) / 2)
    evaluated = soup.evaluate("split", workers=0)
    assert evaluated["val"].metrics == pytest.approx(soup.metrics)
    assert evaluated["test"].metrics == pytest.approx(said["test"])
    assert said["metrics"]["accuracy"] >= max(
        each["metrics"]["accuracy"] for each in said["ingredients"]
    )
    assert "greedy soup of 2 of 3 runs" in (soup.folder / "README.md").read_text()
    assert "optimistic" in soup.report().path.read_text()
    assert len(soup.predict(sorted(Path("split/test/red").iterdir()), workers=0)) == 6
    assert "features of 36 training samples computed for zoo predict --reject" in done.err
    assert soup.bank is not None
    assert first.bank is not None
    assert soup.bank.features.shape == first.bank.features.shape
    assert not torch.equal(soup.bank.features, first.bank.features)  # of the mean network
    assert soup.calibration is None or soup.calibration.distance is not None
    again = zoo_cli("rerun", "runs/soup-1")
    assert again.code == 1
    assert "zoo soup a b c" in again.err or "zoo soup b a c" in again.err


def test_statistics_of_batch_normalisation_are_those_of_the_training_samples() -> None:
    rng = np.random.default_rng(0)
    data = [
        (rng.integers(0, 255, (32, 32, 3), dtype=np.uint8), name) for name in "ab" for _ in range(8)
    ]
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), norm := torch.nn.BatchNorm2d(4), torch.nn.AdaptiveAvgPool2d(1)
    )
    from zoo.contract.network.backbone import Backbone
    from zoo.contract.spec import BackboneSpec, ImageInput
    from zoo.engine.forward import Forward

    net.append(torch.nn.Flatten())
    spec = BackboneSpec(
        name="own/net", loader="x:y", feature_dim=4, input=ImageInput(size=32), params=1
    )
    backbone = Backbone.wrap(net, spec=spec, head="head")
    forward = Forward(backbone, device=torch.device("cpu"), precision="fp32")
    pixels = torch.stack([torch.from_numpy(image).permute(2, 0, 1).float() for image, _ in data])
    batches = [
        {"pixel_values": some, "index": torch.arange(len(some))} for some in torch.split(pixels, 8)
    ]
    norm.running_mean.fill_(100.0)  # type: ignore[union-attr]
    compute_statistics(forward, [norm], batches)
    maps = net[0](pixels)
    torch.testing.assert_close(norm.running_mean, maps.mean(dim=(0, 2, 3)))
    assert norm.momentum == 0.1
    assert not norm.training


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"image_size": 24}, "inputs differ"),
        ({"head": "mlp"}, "heads differ"),
        ({"backbone": "torchvision/squeezenet1_1", "weights": "none"}, "backbones differ"),
        ({"classes": 2}, "classes differ"),
    ],
)
def test_runs_that_cannot_be_averaged_are_refused(
    options: dict[str, Any], reason: str, trained: Trained, tmp_path: Path
) -> None:
    first = trained("a", strategy="full")
    if options.pop("classes", None):
        for split in ("train", "val"):
            source, target = (tmp_path / name / split for name in ("split", "two"))
            target.mkdir(parents=True)
            for name in ("red", "green"):
                (target / name).symlink_to(source / name)
        options["data"] = tmp_path / "two"
    second = trained("b", strategy="full", **options)
    with pytest.raises(RunError, match=reason):
        zoo.make_soup([first, second], tmp_path / "soup")
    assert not (tmp_path / "soup").exists()


def test_other_validation_samples_and_lost_data_are_refused(
    trained: Trained, tmp_path: Path
) -> None:
    first, second = trained("a", strategy="full"), trained("b", strategy="full", lr=1e-4)
    with pytest.raises(UsageError, match="at least two different runs, got 1"):
        zoo.make_soup([first, first.folder])
    for key, value, reason in (
        ("val_fingerprint", "0" * 64, "validation samples differ"),
        ("val_fingerprint", "", "no validation samples of its own"),
    ):
        other = json.loads((second.folder / "run.json").read_text())
        other["data"][key] = value
        (tmp_path / "other").mkdir(exist_ok=True)
        (tmp_path / "other" / "run.json").write_text(json.dumps(other))
        with pytest.raises(RunError, match=reason):
            zoo.make_soup([first, tmp_path / "other"])
    for changes, reason in (
        ({"surgery": "a:b"}, "changed by 'a:b'"),
        ({"ensemble": {"members": []}}, "an ensemble already"),
    ):
        other = json.loads((second.folder / "run.json").read_text())
        (tmp_path / "other" / "run.json").write_text(json.dumps({**other, **changes}))
        with pytest.raises(RunError, match=reason):
            zoo.make_soup([first, tmp_path / "other"])
    next((tmp_path / "split" / "train" / "red").iterdir()).unlink()
    with pytest.raises(RunError, match="has changed since it was trained"):
        zoo.make_soup([first, second])
    for run in (first, second):
        record = json.loads((run.folder / "run.json").read_text())
        del record["request"]
        (run.folder / "run.json").write_text(json.dumps(record))
    with pytest.raises(RunError, match="does not record its data"):
        zoo.make_soup([first.folder, second.folder])
