"""``zoo export``: what is written opens without zoo and answers as the run does."""

from __future__ import annotations

import ast
import errno
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from PIL import Image
from tokenizers import Tokenizer
from torch import nn

import zoo
from tests.contract.test_transformers import tiny, word_tokenizer
from tests.end_to_end.conftest import Zoo, photos, zoo_cli
from tests.made_runs import weighted_run
from zoo import BackboneSpec
from zoo.contract.extensions import imported
from zoo.errors import NameLookupError, RunError, UsageError
from zoo.export import TOLERANCE, exporters
from zoo.export.calibrated_head import divide_logits
from zoo.export.exporters import find_exporter
from zoo.export.formats import run_native
from zoo.modalities.image.exporting import steps as image_steps
from zoo.modalities.image.reading import read_image
from zoo.modalities.image.transforms import make_transform, resized
from zoo.modalities.text.tokenization import train_tokenizer
from zoo.registry.registry import Registry
from zoo.runs.calibrating import calibrated
from zoo.runs.calibration_file import CALIBRATION, write_calibration
from zoo.runs.feature_bank import FeatureBank
from zoo.runs.limits import limits_of
from zoo.tasks.multi_label import MultiLabel
from zoo.tasks.regression import Regression
from zoo.tasks.single_label import SingleLabel
from zoo.tasks.task import Task

__all__ = ["photos", "zoo_cli"]

GUIDE = (Path(__file__).parents[2] / "docs" / "export.md").read_text(encoding="utf-8")
CLASSES = ["fern", "moss", "a \"class\"\n'''"]
TEXTS = ["w7 w8 w9", "w12", "", " ".join(f"w{n}" for n in range(8, 58))]

WITHOUT_ZOO = """
import sys

sys.modules.update(dict.fromkeys(("zoo", "zoo_basics", "zoo_timm", "zoo_torchvision")))
import torch

library = torch.library.Library("torchvision", "FRAGMENT")
for name in ("nms", "qnms"):  # where torchvision was not built for this torch
    try:
        library.define(name + "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    except RuntimeError:
        pass
"""


def spec_of(name: str, **changes: Any) -> BackboneSpec:
    return Registry.discover().spec(name).with_input(**changes)


@pytest.fixture(scope="module")
def cnn(tmp_path_factory: pytest.TempPathFactory) -> zoo.Run:
    spec = spec_of("basics/cnn", size=16, crop=0.875, interpolation="bicubic")
    folder = weighted_run(tmp_path_factory.mktemp("cnn") / "cnn-1", spec, classes=CLASSES)
    return zoo.open_run(folder)


@pytest.fixture(scope="module")
def lstm(tmp_path_factory: pytest.TempPathFactory) -> zoo.Run:
    spec = spec_of("basics/lstm", vocab_size=60, max_length=40)
    tokenizer = train_tokenizer([" ".join(f"w{n}" for n in range(60))] * 2, 60)
    spec = spec.with_input(vocab_size=tokenizer.get_vocab_size())
    place = tmp_path_factory.mktemp("lstm") / "lstm-1"
    return zoo.open_run(weighted_run(place, spec, tokenizer=tokenizer, classes=CLASSES))


def guide() -> dict[str, Any]:
    """What the guide's code defines, without its last example, which needs the Hub."""
    blocks = re.findall(r"^```python\n(.*?)^```$", GUIDE, re.DOTALL | re.MULTILINE)
    names: dict[str, Any] = {}
    for block in blocks[:-1]:
        exec(block, names)
    return names


def distributions(predictions: Any, classes: Any) -> np.ndarray[Any, Any]:
    return np.array([[p.probabilities[name] for name in classes] for p in predictions])


# -- everyday --------------------------------------------------------------------------------


def test_the_guides_code_decodes_every_kind_of_image_as_a_run_does(
    cnn: zoo.Run, tmp_path: Path
) -> None:
    """Transparent, turned, grey, CMYK and very long images, and 16 bits where the run takes them."""
    pixels = np.random.default_rng(1).integers(0, 255, (40, 56, 4), dtype=np.uint8)
    rgba = Image.fromarray(pixels, "RGBA")
    palette = rgba.convert("RGB").quantize(16)
    turned = Image.Exif()
    turned[0x0112] = 6
    rgba.save(tmp_path / "rgba.png")
    rgba.convert("LA").save(tmp_path / "la.png")
    palette.save(tmp_path / "palette.png", transparency=3)
    rgba.convert("RGB").save(tmp_path / "turned.jpg", exif=turned)
    rgba.convert("CMYK").save(tmp_path / "cmyk.jpg")
    rgba.convert("1").save(tmp_path / "bits.png")
    Image.fromarray(pixels[:, :, 0].reshape(4, -1)).save(tmp_path / "long.png")
    deep = pixels[:, :, 0].astype(np.uint16) * 16
    Image.fromarray(deep).save(tmp_path / "deep.png")
    images = sorted(tmp_path.iterdir())
    prepare = guide()["prepare"]
    for image in images:
        given = replace(cnn.spec.image_input, value_range=(0.0, 4095.0))
        wanted = make_transform(given, train=False)(
            read_image(image, size=resized(given), values=given.value_range)
        )
        found = prepare(image, image_steps(given))
        np.testing.assert_allclose(found, wanted, atol=2e-5, err_msg=image.name)
    eight = image_steps(cnn.spec.image_input)
    with pytest.raises(ValueError, match="8 bits"):
        prepare(tmp_path / "deep.png", eight)


@pytest.mark.long
def test_the_guides_code_gives_a_runs_predictions_of_images(cnn: zoo.Run, tmp_path: Path) -> None:
    exported = zoo.export_run(cnn, format="onnx", output=tmp_path / "out")
    generator = np.random.default_rng(0)
    paths = []
    for number, (width, height) in enumerate([(50, 41), (33, 70), (16, 16)]):
        pixels = generator.integers(0, 255, (height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8)
        image = Image.fromarray(pixels).resize((width, height))
        paths.append(str(tmp_path / f"{number}.{'png' if number else 'jpg'}"))
        image.save(paths[-1])
    given = guide()["probabilities"](exported.folder, paths)
    wanted = distributions(cnn.predict(paths), cnn.classes)
    np.testing.assert_allclose([list(row.values()) for row in given], wanted, atol=1e-5)
    assert list(given[0]) == CLASSES


@pytest.mark.long
def test_the_guides_code_gives_a_runs_predictions_of_texts(lstm: zoo.Run, tmp_path: Path) -> None:
    exported = zoo.export_run(lstm, format="onnx", output=tmp_path / "out")
    texts = [text for text in TEXTS if text]
    given = guide()["probabilities"](exported.folder, texts)
    wanted = distributions(lstm.predict(texts), lstm.classes)
    np.testing.assert_allclose([list(row.values()) for row in given], wanted, atol=1e-5)
    assert {node.op_type for node in onnx.load(exported.folder / "model.onnx").graph.node} >= {
        "LSTM"
    }
    told = json.loads((exported.folder / "preprocessing.json").read_text())["tokenizer"]
    assert told["empty_id"] == lstm.tokenizer.token_to_id("[UNK]")
    assert Tokenizer.from_file(str(exported.folder / "tokenizer.json")).get_vocab_size()


def test_the_command_tells_the_largest_difference_and_refuses_an_existing_folder(
    cnn: zoo.Run, tmp_path: Path, zoo_cli: Zoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = zoo_cli("export", cnn.folder, "--format", "torch-export", "--json")
    assert done.code == 0, done.err
    folder = tmp_path / "exports" / "cnn-1-torch-export"
    assert done.json["folder"] == "exports/cnn-1-torch-export"
    assert done.json["files"] == ["model.pt2", "README.md", "preprocessing.json"]
    assert sorted(done.json["files"]) == sorted(os.listdir(folder))
    assert done.json["inputs"] == {"pixel_values": ["batch", 3, 16, 16]}
    assert done.json["checked"] == [[1, 3, 16, 16], [3, 3, 16, 16]]
    assert 0 <= done.json["difference"] <= TOLERANCE
    assert os.listdir(folder.parent) == [folder.name]
    again = zoo_cli("export", cnn.folder, "--format", "torch-export")
    assert again.code == 1
    assert "exists" in again.err
    other = zoo_cli("export", cnn.folder, "--format", "native", "--output", "out")
    assert "largest difference from the run's outputs: 0.0e+00 (batches: 1x3x16x16, " in other.out


def test_an_export_that_cannot_be_loaded_here_is_kept_and_says_why(
    cnn: zoo.Run, tmp_path: Path, zoo_cli: Zoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    reason = "it is compiled for another processor"
    changed = replace(exporters.EXPORTERS["native"], run="", not_compared=reason)
    monkeypatch.setitem(exporters.EXPORTERS, "native", changed)  # type: ignore[arg-type]
    done = zoo_cli("export", cnn.folder, "--format", "native", "--output", tmp_path / "out")
    assert done.out.splitlines()[-1] == f"not compared with the run's outputs: {reason}"
    assert f"not compared with the run's: {reason}." in (tmp_path / "out/README.md").read_text()
    exported = zoo.export_run(cnn, format="native", output=tmp_path / "again").to_json()
    assert (exported["difference"], exported["not_compared"]) == (None, reason)


def test_logits_are_divided_by_the_temperature(cnn: zoo.Run, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(cnn.folder, folder)
    found = calibrated(SingleLabel(), 3 * torch.eye(3).repeat(20, 1), np.arange(60) % 3, CLASSES)
    assert found is not None
    write_calibration(folder / CALIBRATION, replace(found, temperature=2.0))
    run = zoo.open_run(folder)
    batch = {"pixel_values": torch.rand(3, 3, 16, 16)}
    wanted = run.load()(batch) / 2
    exported = zoo.export_run(run, format="native", output=tmp_path / "out")
    torch.testing.assert_close(run_native(exported.folder)(batch), wanted)
    described = json.loads((exported.folder / "preprocessing.json").read_text())["output"]
    assert described["temperature"] == {"value": 2.0, "divided": True}
    assert "temperature" in (exported.folder / "README.md").read_text()
    other = run.load()  # a head that is not linear
    other.replace_head(nn.Sequential(other.head, nn.Tanh()))
    whole = other(batch)
    divide_logits(other, 2.0)
    torch.testing.assert_close(other(batch), whole / 2)


@pytest.fixture(scope="module")
def judged(cnn: zoo.Run, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Task], zoo.Run]:
    """The run with another task, a calibration of 60 samples, and a bank of features."""

    def run(task: Task) -> zoo.Run:
        folder = tmp_path_factory.mktemp("judged") / "run"
        shutil.copytree(cnn.folder, folder)
        record = json.loads((folder / "run.json").read_text())
        (folder / "run.json").write_text(json.dumps({**record, "task": task.to_json()}))
        generator = torch.Generator().manual_seed(0)
        backbone = cnn.load()
        with torch.no_grad():
            bank, usual = (
                backbone.features({"pixel_values": torch.rand(60, 3, 16, 16, generator=generator)})
                for _ in range(2)
            )
        FeatureBank.of(bank).write(folder)
        logits = torch.randn(60, 3, generator=generator, dtype=torch.float64)
        labels: dict[str, Any] = {
            "label": np.arange(60) % 3,
            "labels": (logits.numpy() > 0.2).astype(np.float32),
            "values": np.ones((60, 3), dtype=np.float32),
        }
        distances = FeatureBank.of(bank).distances(usual).double().numpy()
        found = calibrated(task, logits, labels[task.truth_column], CLASSES, distances=distances)
        assert found is not None
        write_calibration(folder / CALIBRATION, replace(found, temperature=1.5))
        return zoo.open_run(folder)

    return run


@pytest.mark.parametrize(
    ("task", "form", "names"),
    [
        (SingleLabel(), "torch-export", {"in_set", "distance", "rejected"}),
        pytest.param(
            *(SingleLabel(), "onnx", {"in_set", "distance", "rejected"}), marks=pytest.mark.slow
        ),
        pytest.param(
            *(MultiLabel(), "onnx", {"labels", "distance", "rejected"}), marks=pytest.mark.slow
        ),
        pytest.param(
            Regression(mean=(5.0,) * 3, std=(2.0,) * 3),
            *("torch-export", {"low", "high", "distance", "rejected"}),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_sets_intervals_and_refusal_are_outputs_of_the_network(
    judged: Callable[[Task], zoo.Run], task: Task, form: str, names: set[str], tmp_path: Path
) -> None:
    run = judged(task)
    asked: dict[str, Any] = {"reject": 0.5, "threshold": "f1" if task.several else None}
    asked["coverage"] = None if task.several else 0.8
    folder = run.export(form, output=tmp_path / "out", **asked).folder
    described = json.loads((folder / "preprocessing.json").read_text())
    assert described["other_outputs"].keys() == names
    assert all(f"`{name}`" in (folder / "README.md").read_text() for name in names)
    batch = {"pixel_values": torch.rand(8, 3, 16, 16)}
    backbone, limits = (
        run.load(),
        limits_of(run, *(asked[k] for k in ("threshold", "coverage", "reject"))),
    )
    assert run.bank is not None
    with torch.no_grad():
        features = backbone.features(batch)
        rows = torch.cat([backbone.head(features), run.bank.distances(features)[:, None]], dim=1)
    outputs = task.decode(rows[:, :3] / 1.5)
    given = {"threshold": limits.threshold, "unread": [()] * 8}
    predictions = task.predictions(["x"] * 8, outputs, run.classes, **given)
    predicted = [each.to_json() for each in limits.applied(predictions, task, rows, run.classes)]
    found = imported(find_exporter(form).value.run)(folder)(batch)
    assert found.keys() == names | {"logits"}
    assert found["rejected"].tolist() == [row["rejected"] for row in predicted]
    for name, row in enumerate(predicted):
        if "in_set" in names:
            inside = {c for c, yes in zip(run.classes, found["in_set"][name], strict=True) if yes}
            assert inside == set(row["prediction_set"])
        if "labels" in names:
            inside = {c for c, yes in zip(run.classes, found["labels"][name], strict=True) if yes}
            assert inside == set(row["labels"])
        if "low" in names:
            ends = [
                [5 + 2 * float(found[end][name, k]) for end in ("low", "high")] for k in range(3)
            ]
            assert ends == [pytest.approx(row["intervals"][c], abs=1e-4) for c in run.classes]


def test_limits_that_a_format_cannot_hold_are_refused(
    judged: Callable[[Task], zoo.Run], tmp_path: Path
) -> None:
    run = judged(SingleLabel())
    with pytest.raises(UsageError, match="coverage needs a format with several outputs"):
        run.export("native", output=tmp_path / "out", coverage=0.9)
    with pytest.raises(UsageError, match="reject must be between 0 and 1, got 2"):
        run.export("onnx", output=tmp_path / "out", reject=2)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow(0.1)
def test_a_native_export_loads_where_there_is_no_zoo(lstm: zoo.Run, tmp_path: Path) -> None:
    zoo.export_run(lstm, format="native", output=tmp_path / "out")
    assert_loads_without_zoo(lstm, tmp_path / "out")


def assert_loads_without_zoo(run: zoo.Run, folder: Path) -> None:
    """The lines of the README give the run's logits in a process that cannot import zoo."""
    batch = batch_of(run)
    torch.save(batch, folder / "batch.pt")
    [lines] = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    before = f"{WITHOUT_ZOO}\nbatch = torch.load('batch.pt')\nlocals().update(batch)\n"
    code = f"{before}{lines}\ntorch.save(outputs.detach(), 'outputs.pt')"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    with torch.inference_mode():
        torch.testing.assert_close(
            torch.load(folder / "outputs.pt"), run.load()(batch), atol=TOLERANCE, rtol=0
        )


def batch_of(run: zoo.Run) -> Mapping[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    if run.spec.modality == "image":
        size = run.spec.image_input.size
        return {"pixel_values": torch.randn(5, 3, size, size, generator=generator)}
    ids = torch.randint(5, 30, (5, 11), generator=generator)
    mask = (torch.arange(11) < torch.tensor([[11], [3], [7], [11], [2]])).long()
    return {"input_ids": ids * mask, "attention_mask": mask}


@pytest.mark.parametrize("name", ["onnx", "onnxruntime", "onnxscript"])
def test_a_missing_library_names_the_extra(
    cnn: zoo.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UsageError, match=f"{name}") as error:
        zoo.export_run(cnn, format="onnx", output=tmp_path / "out")
    assert "pip install 'zoo-finetune[export]'" in error.value.hint
    assert not os.listdir(tmp_path)


def test_an_unknown_format_is_refused(cnn: zoo.Run) -> None:
    with pytest.raises(NameLookupError, match="'tflite'") as error:
        zoo.export_run(cnn, format="tflite")
    assert "native, onnx, torch-export" in error.value.hint


class _Off(nn.Module):
    """Other outputs than the run's."""

    def __init__(self, by: float) -> None:
        super().__init__()
        self.by = by

    def __call__(self, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        return torch.full((len(batch["pixel_values"]), len(CLASSES)), self.by)


@pytest.mark.parametrize(
    ("opened", "words"),
    [
        (_Off(3.0), r"differ .* 0\.0001; nothing was kept"),
        (_Off(float("nan")), r"differ .* nan"),
        (lambda batch: torch.zeros(7, 3), r"\(7, 3\) for a batch of shape \(1, 3, 16, 16\)"),
        (lambda batch: batch["none"], r"fails on a batch of \(1, 3, 16, 16\): 'none'"),
        (None, "cannot be loaded again: it is gone"),
    ],
)
def test_what_does_not_answer_as_the_run_is_not_kept(
    cnn: zoo.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opened: Any, words: str
) -> None:
    def run(folder: Path) -> Any:
        if opened is None:
            raise ValueError("it is gone")
        return opened

    changed = replace(exporters.EXPORTERS["native"], run=run)
    monkeypatch.setitem(exporters.EXPORTERS, "native", changed)  # type: ignore[arg-type]
    with pytest.raises(RunError, match=words):
        zoo.export_run(cnn, format="native", output=tmp_path / "new" / "out")
    assert not os.listdir(tmp_path)


def test_a_disk_that_fills_while_an_export_is_written_is_reported_and_nothing_is_left(
    cnn: zoo.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    changed = replace(exporters.EXPORTERS["native"], write=write)
    monkeypatch.setitem(exporters.EXPORTERS, "native", changed)  # type: ignore[arg-type]
    with pytest.raises(RunError, match=r"the export cannot be written to .*: No space left"):
        zoo.export_run(cnn, format="native", output=tmp_path / "new" / "out")
    assert not os.listdir(tmp_path)


def test_a_folder_that_cannot_be_written_is_reported(cnn: zoo.Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"file/out"):
        zoo.export_run(cnn, format="native", output=tmp_path / "file" / "out")


def test_a_head_or_a_network_that_no_library_knows_is_refused(cnn: zoo.Run, tmp_path: Path) -> None:
    mlp = nn.Sequential(nn.Linear(128, 128), nn.GELU(), nn.Dropout(0.1), nn.Linear(128, 2))
    folder = weighted_run(tmp_path / "mlp", cnn.spec, head=mlp)
    record = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**record, "head": "mlp"}))
    with pytest.raises(RunError, match=r"'mlp'"):
        zoo.export_run(folder, format="native", output=tmp_path / "out")
    zoo.export_run(folder, format="torch-export", output=tmp_path / "out")
    changed = weighted_run(tmp_path / "changed", cnn.spec, surgery=f"{__name__}:change")
    run = zoo.open_run(changed, surgery=change)
    with pytest.raises(RunError, match=r"the surgery '.*:change'"):
        zoo.export_run(run, format="native", output=tmp_path / "native")


def change(backbone: zoo.Backbone) -> None:
    """Surgery that leaves everything as it is."""


def test_a_plugin_that_gives_no_lines_is_named(
    cnn: zoo.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zoo.Backbone, "native_code", lambda self: "")
    with pytest.raises(RunError, match="basics/cnn") as error:
        zoo.export_run(cnn, format="native", output=tmp_path / "out")
    assert "onnx or torch-export" in error.value.hint


def test_an_operator_that_onnx_does_not_have_is_reported(
    cnn: zoo.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise RuntimeError("no translation\nof aten::odd")

    monkeypatch.setattr(torch.onnx, "export", refuse)
    with pytest.raises(RunError, match="basics/cnn") as e:
        zoo.export_run(cnn, format="onnx", output=tmp_path / "out")
    assert "torch-export or native" in e.value.hint
    assert not (tmp_path / "out").exists()


def test_a_network_that_cannot_be_captured_is_reported(
    cnn: zoo.Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    class Stubborn(nn.Module):
        def forward(self, features: torch.Tensor) -> torch.Tensor:
            return features[:, :3] * (2 if float(features.sum()) > 0 else 1)

    backbone = cnn.load()
    backbone.replace_head(Stubborn())
    monkeypatch.setattr(zoo.Run, "load", lambda self: backbone)
    for name in ("onnx", "torch-export"):
        with pytest.raises(RunError, match=r"basics/cnn") as error:
            zoo.export_run(cnn, format=name, output=tmp_path / "out")
        assert "--format" not in error.value.hint  # native cannot have such a head
        assert "zoo check basics/cnn" in error.value.hint
    assert "conv2d" not in capfd.readouterr().err


def test_the_guide_of_plugins_shows_lines_that_work(tmp_path: Path) -> None:
    pages = (Path(__file__).parents[2] / "docs" / "plugins.md").read_text(encoding="utf-8")
    [lines] = re.findall(r"^```python\n(def lines.*?)^```$", pages, re.DOTALL | re.MULTILINE)
    [load] = re.findall(r"^(def load\(spec.*?)^```$", pages, re.DOTALL | re.MULTILINE)[:1]
    names: dict[str, Any] = {"zoo": zoo}
    exec(lines, names)
    exec(load, names)
    spec = zoo.BackboneSpec(
        name="tiny",
        modality="image",
        feature_dim=32,
        params=1_226,
        input=zoo.ImageInput(size=32),
        loader="acme_zoo:load",
    )
    backbone = names["load"](spec)
    backbone.replace_head(2)
    source: dict[str, Any] = {}
    exec(names["lines"](backbone), source)
    from safetensors.torch import save_file

    save_file(backbone.native_state_dict(), tmp_path / "model.safetensors")
    pixels = torch.randn(2, 3, 32, 32)
    given = source["logits"](source["load"](tmp_path), {"pixel_values": pixels})
    torch.testing.assert_close(given, backbone.eval()(pixels))


def test_a_name_in_a_run_gets_into_load_py_as_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evil = "'); open('owned', 'w') #"
    for name in ("torchvision/resnet18", "timm/test_vit"):
        backbone = zoo.build(spec_of(name), None)
        backbone.replace_head(2)
        monkeypatch.setattr(backbone, "spec", replace(backbone.spec, name=f"x/{evil}"))
        calls = [node for node in ast.walk(ast.parse(backbone.native_code())) if _named(node)]
        assert evil in [node.args[0].value for node in calls]  # type: ignore[attr-defined]
        assert "owned" not in backbone.native_code().replace(repr(evil), "")


def _named(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and bool(node.args) and isinstance(node.args[0], ast.Constant)


# -- slow ------------------------------------------------------------------------------------

IMAGES = {
    "torchvision/resnet18": 32,
    "torchvision/vgg11": 32,
    "timm/test_vit": 32,
    "timm/test_convnext": 32,
    "timm/test_efficientnet": 32,
}
IMAGES_IN_CI = {"timm/test_efficientnet"}


@pytest.mark.slow(0.2)
@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=() if n in IMAGES_IN_CI else pytest.mark.long) for n in IMAGES],
)
def test_the_families_of_images_are_exported(name: str, tmp_path: Path) -> None:
    run = zoo.open_run(weighted_run(tmp_path / "run", spec_of(name, size=IMAGES[name])))
    assert_answers_as_the_run(run, tmp_path, "onnx")
    if name != "torchvision/vgg11":  # half a gigabyte
        assert_answers_as_the_run(run, tmp_path, "native")
    if name == "torchvision/resnet18":
        assert_answers_as_the_run(run, tmp_path, "torch-export")
        assert_loads_without_zoo(run, tmp_path / "native")


@pytest.mark.long
@pytest.mark.slow(0.2)
@pytest.mark.parametrize(
    ("kind", "pooling"),
    [
        ("bert", "pooler"),
        pytest.param("distilbert", "mean", marks=pytest.mark.long),
        pytest.param("gpt2", "last", marks=pytest.mark.long),
    ],
)
def test_the_families_of_texts_are_exported(kind: str, pooling: Any, tmp_path: Path) -> None:
    spec = tiny(kind, pooling)
    run = zoo.open_run(weighted_run(tmp_path / "run", spec, tokenizer=word_tokenizer(0)))
    assert_answers_as_the_run(run, tmp_path, "onnx")
    assert_answers_as_the_run(run, tmp_path, "native")
    if kind == "distilbert":
        assert_answers_as_the_run(run, tmp_path, "torch-export")
        assert_loads_without_zoo(run, tmp_path / "native")


@pytest.mark.long
def test_a_run_with_lora_is_exported_merged(photos: Path, tmp_path: Path) -> None:
    run = zoo.finetune(
        "timm/test_vit",
        photos,
        strategy="lora",
        weights="none",
        image_size=32,
        epochs=1,
        workers=0,
        output=tmp_path / "run",
        report=False,
    )
    exported = zoo.export_run(run, format="onnx", output=tmp_path / "onnx")
    assert exported.difference <= TOLERANCE
    native = zoo.export_run(run, format="native", output=tmp_path / "native")
    assert native.difference <= TOLERANCE


def assert_answers_as_the_run(run: zoo.Run, folder: Path, name: Any) -> None:
    """What is written gives the run's logits for five samples as well."""
    batch = batch_of(run)
    exported = zoo.export_run(run, format=name, output=folder / name)
    with torch.inference_mode():
        wanted = run.load()(batch)
        given = imported(exporters.EXPORTERS[name].run)(exported.folder)(batch)
    assert wanted.std() > 10 * TOLERANCE
    torch.testing.assert_close(given, wanted, atol=TOLERANCE, rtol=0)
