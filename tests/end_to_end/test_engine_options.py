"""Options of the engine that show in what a run does: memory, rates, trackers, repetition, surgery."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import zoo
from tests.end_to_end.conftest import Zoo
from tests.end_to_end.test_resume import StopsAt
from zoo import Backbone
from zoo.engine.progress import Advance, Quiet
from zoo.engine.surgery import Surgery, find_surgery
from zoo.errors import RunError, Stopped, UsageError
from zoo.runs.predictor import Predictor

QUICK: dict[str, Any] = {"classes": 2, "workers": 0, "epochs": 1, "batch_size": 32}


class Notes(Quiet):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def losses(run: zoo.Run) -> list[float]:
    lines = (run.folder / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["train_loss"] for line in lines]


# -- memory -------------------------------------------------------------------------------------


class FullBeyond(nn.Module):
    """Takes so many samples at once, and is out of memory with more."""

    limit = 9

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        if len(pixels) > self.limit and self.training:
            raise torch.OutOfMemoryError("cannot allocate memory")
        return pixels


def narrow(backbone: Backbone) -> None:
    """No statistics of a batch and no dropout, and memory for nine samples."""
    backbone.net.conv1[1], backbone.net.conv2[1] = nn.GroupNorm(4, 32), nn.GroupNorm(4, 64)
    backbone.net.linear[3].p = 0.0
    FullBeyond.limit = 9
    backbone.net.conv1.insert(0, FullBeyond())


def roomy(backbone: Backbone) -> None:
    """The same network with memory for all."""
    narrow(backbone)
    FullBeyond.limit = 10_000


@pytest.mark.slow
def test_a_batch_that_does_not_fit_is_computed_in_parts_with_the_same_losses(
    tmp_path: Path,
) -> None:
    notes = Notes()
    whole = zoo.finetune(
        "cnn", **QUICK, surgery=roomy, output=tmp_path / "a", reporter=Quiet(), report=False
    )
    with pytest.raises(torch.OutOfMemoryError):
        zoo.finetune(
            "cnn", **QUICK, surgery=narrow, output=tmp_path / "b", reporter=Quiet(), report=False
        )
    parts = zoo.finetune(
        "cnn", **QUICK | {"batch_size": "auto"}, surgery=narrow, output=tmp_path / "c",
        reporter=notes,
    )  # fmt: skip
    assert losses(parts) == pytest.approx(losses(whole), rel=1e-5)
    assert notes.notes == [
        "out of memory: using micro-batches of 16 samples",
        "out of memory: using micro-batches of 8 samples",
    ]


@pytest.mark.slow
def test_accumulation_gives_the_losses_of_the_whole_batch(tmp_path: Path) -> None:
    one = zoo.finetune(
        "cnn", **QUICK, surgery=roomy, output=tmp_path / "a", reporter=Quiet(), report=False
    )
    four = zoo.finetune(
        "cnn",
        **QUICK,
        accumulate=4,
        surgery=roomy,
        output=tmp_path / "b",
        reporter=Quiet(),
        report=False,
    )
    assert losses(four) == pytest.approx(losses(one), rel=1e-5)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("cnn", "--strategy", "full", "--unfreeze", "conv1"), "--unfreeze conv1 has no effect"),
        (("lstm", "--strategy", "bias", "--freeze", "embedding"), "--freeze embedding has no"),
        (("lstm", "--strategy", "norm", "--freeze-until", "embedding"), "--freeze-until embedding"),
        (("lstm", "--pooling", "last"), "not supported by basics/lstm"),
        (("lstm", "--strategy", "lora", "--lora-dropout", 0.5), "--lora-dropout has no effect"),
    ],
)
def test_options_that_would_change_nothing_of_this_network_are_refused(
    options: tuple[object, ...], words: str, tmp_path: Path, zoo_cli: Zoo
) -> None:
    refused = zoo_cli("finetune", *options, "--classes", 2, "--output", tmp_path / "run")
    assert refused.code == 1
    assert words in refused.err
    assert not (tmp_path / "run").exists()


# -- surgery ------------------------------------------------------------------------------------


def another_layer(backbone: Backbone) -> None:
    """A wider convolution in the middle, one layer frozen."""
    torch.manual_seed(0)
    backbone.net.conv2[0] = nn.Conv2d(32, 64, 5, padding=2)
    backbone.freeze("conv1.0")


def stray(backbone: Backbone) -> None:
    """A layer that lies in no stage."""
    backbone.net.stray = nn.Linear(2, 2)


@pytest.mark.slow
def test_a_backbone_changed_inside_trains_saves_and_predicts(tmp_path: Path) -> None:
    run = zoo.finetune(
        "cnn",
        **QUICK,
        surgery=another_layer,
        output=tmp_path / "run",
        reporter=Quiet(),
        report=False,
    )
    backbone = zoo.open_run(run.folder, surgery=another_layer).load()
    assert backbone.net.conv2[0].weight.shape == (64, 32, 5, 5)
    assert [stage.name for stage in backbone.stages()] == ["conv1", "conv2", "linear"]
    fresh = zoo.finetune(
        "cnn", **QUICK, strategy="probe", output=tmp_path / "fresh", reporter=Quiet(), report=False
    )
    start = fresh.load().net.conv1[0].weight
    assert torch.equal(backbone.net.conv1[0].weight, start)  # frozen by the surgery
    opened = zoo.open_run(run.folder, surgery=another_layer)
    assert opened.predict([run.folder / "example.png"])[0].label in ("0", "1")
    with pytest.raises(UsageError, match="test_engine_options:another_layer") as refused:
        zoo.open_run(run.folder).load()
    assert "surgery=" in refused.value.hint


def test_surgery_that_leaves_a_parameter_in_no_stage_is_refused(tmp_path: Path) -> None:
    with pytest.raises(zoo.ZooError, match=r"are in no stage: stray.weight"):
        zoo.finetune(
            "cnn", **QUICK, surgery=stray, output=tmp_path / "run", reporter=Quiet(), report=False
        )
    assert not (tmp_path / "run").exists()


def test_surgery_is_named_on_the_command_line_and_never_imported_from_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zoo_cli: Zoo
) -> None:
    (tmp_path / "changes.py").write_text(
        "from torch import nn\n\ndef smooth(backbone):\n    backbone.net.conv1[2] = nn.GELU()\n"
    )
    monkeypatch.chdir(tmp_path)
    before = [*sys.path]
    command = ("cnn", "--classes", 2, "--epochs", 1, "--workers", 0, "--output", "run")
    done = zoo_cli("finetune", *command, "--surgery", "changes:smooth")
    assert done.code == 0, done.err
    assert sys.path == before
    refused = zoo_cli("predict", "run", "run/example.png")
    assert refused.code == 1
    assert "the surgery 'changes:smooth'" in refused.err
    wrong = zoo_cli("finetune", "cnn", "--surgery", "changes:smoth")
    assert wrong.code == 1
    assert "--surgery changes:smoth cannot be imported" in wrong.err


@pytest.mark.slow
def test_surgery_whose_code_has_changed_is_refused_at_resume_and_reported_at_rerun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Bytecode of a file of the same size and second would be taken for that of the changed one.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    code = tmp_path / "smoothing.py"
    code.write_text("WIDTH = 3\n\ndef smooth(backbone):\n    backbone.net.conv1[3].stride = 2\n")
    monkeypatch.syspath_prepend(tmp_path)
    start = {**QUICK, "output": tmp_path / "run", "save_every": 0}
    with pytest.raises(Stopped):
        zoo.finetune("cnn", **start, surgery=find_surgery("smoothing:smooth"), reporter=StopsAt(2))

    def again() -> Surgery:
        sys.modules.pop("smoothing", None)
        return find_surgery("smoothing:smooth")

    was = code.read_text()
    code.write_text(was.replace("stride = 2", "stride = 1"))
    with pytest.raises(RunError, match="code of the surgery smoothing:smooth has changed"):
        zoo.resume(tmp_path / "run", surgery=again(), reporter=Quiet(), report=False)
    code.write_text(was)
    run = zoo.resume(tmp_path / "run", surgery=again(), reporter=Quiet(), report=False)
    assert run.record["finished"] is not False
    code.write_text(was + "# other words\n")
    quick = {"reporter": Quiet(), "report": False}
    repeat = zoo.rerun(run.folder, output=tmp_path / "again", surgery=again(), **quick)
    (difference,) = repeat.differences
    assert "surgery" in difference
    assert repeat.identical


# -- rates, trackers, repetition ------------------------------------------------------------------


@pytest.mark.long
def test_find_lr_says_a_rate_and_keeps_the_curve(tmp_path: Path, zoo_cli: Zoo) -> None:
    done = zoo_cli(
        *("finetune", "cnn", "--classes", 2, "--find-lr", "--workers", 0, "--image-size", 16),
        *("--output", tmp_path / "rates", "--json"),
    )
    assert done.code == 0, done.err
    assert 1e-5 < done.json["lr"] < 1
    curve = json.loads((tmp_path / "rates" / "rates.json").read_text())
    assert curve["suggestion"] == done.json["lr"]
    assert curve["rates"] == sorted(curve["rates"])
    assert (tmp_path / "rates" / "rates.png").read_bytes().startswith(b"\x89PNG")
    refused = zoo_cli("finetune", "cnn", "--classes", 2, "--find-lr", "--strategy", "probe")
    assert refused.code == 1
    assert "--find-lr needs a strategy that trains the backbone" in refused.err


def test_tensorboard_gets_the_metrics_of_every_epoch(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = zoo.finetune(
        "cnn",
        **QUICK | {"epochs": 2},
        track="tensorboard",
        output=tmp_path / "run",
        reporter=Quiet(),
        report=False,
    )
    events = EventAccumulator(str(run.folder / "tracking"))
    events.Reload()
    seen = [(event.step, event.value) for event in events.Scalars("train_loss")]
    assert [step for step, _ in seen] == [1, 2]
    assert [value for _, value in seen] == pytest.approx(losses(run))


def test_a_tracker_that_does_not_start_is_reported_and_leaves_nothing(
    tmp_path: Path, zoo_cli: Zoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ConnectionError("the server does not answer\nat all")

    monkeypatch.setattr("torch.utils.tensorboard.SummaryWriter.__init__", broken)
    done = zoo_cli("finetune", "cnn", "--track", "tensorboard", "--output", tmp_path / "run")
    assert done.code == 1
    assert "--track tensorboard: the server does not answer\n" in done.err
    assert not list(tmp_path.iterdir())


NO_NUMBERS = """
import torch

def loss(backbone):
    backbone.register_forward_hook(lambda module, inputs, output: output * torch.inf)

def evaluation(backbone):
    def torn(module, inputs, output):
        return output if module.training else output * torch.nan
    backbone.net.linear[1].register_forward_hook(torn)

def features(backbone):
    plain = backbone.features
    def torn(batch):
        brightest = batch["pixel_values"].mean(dim=(2, 3)).argmax(dim=1)
        return torch.where((brightest == 0)[:, None], torch.inf, plain(batch))
    backbone.features = torn

def gradient(backbone):
    next(backbone.net.parameters()).register_hook(lambda gradient: gradient * torch.inf)
"""


@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_what_is_not_a_number_stops_the_run_with_its_samples(
    photos: Path, tmp_path: Path, zoo_cli: Zoo, monkeypatch: pytest.MonkeyPatch,
    what: str,
) -> None:  # fmt: skip
    (tmp_path / "hostile.py").write_text(NO_NUMBERS)
    monkeypatch.syspath_prepend(tmp_path)
    done = zoo_cli(
        *("finetune", "cnn", "--data", photos, "--image-size", 32, "--batch-size", 4),
        *("--surgery", f"hostile:{what}", "--output", tmp_path / "run", "--workers", 0),
    )
    assert done.code == 1
    message = done.err[done.err.index(f"Error: the {what} became") :]
    assert "in step 1 of epoch 1 of phase 'full', with the samples " in message
    assert message.count(".jpg") == 4
    assert "try a smaller --lr" in message
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("solver", [(), ("--epochs", 1, "--batch-size", 4)])
def test_features_that_are_no_numbers_stop_the_run_with_their_samples(
    photos: Path, tmp_path: Path, zoo_cli: Zoo, monkeypatch: pytest.MonkeyPatch,
    solver: tuple[object, ...],
) -> None:  # fmt: skip
    (tmp_path / "hostile.py").write_text(NO_NUMBERS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    done = zoo_cli(
        *("finetune", "cnn", "--data", photos, "--image-size", 32, "--strategy", "probe"),
        *("--surgery", "hostile:features", "--output", tmp_path / "run", "--workers", 0, *solver),
    )
    assert done.code == 1
    message = done.err[done.err.index("Error: the loss became") :]
    assert (
        "in step 1 of epoch 1 of phase 'probe', where these samples have features that are not finite: "
        in message
    )
    assert set(re.findall(r"/(\w+)/\d+\.jpg", message)) == {"red"}
    assert "try a smaller --lr" in message
    assert not (tmp_path / "run").exists()


def test_a_rate_that_is_too_large_for_a_head_names_the_samples_of_the_step(
    photos: Path, tmp_path: Path, zoo_cli: Zoo
) -> None:
    done = zoo_cli(
        *("finetune", "cnn", "--data", photos, "--image-size", 32, "--strategy", "probe"),
        *("--lr", 1e30, "--epochs", 4, "--output", tmp_path / "run", "--workers", 0),
    )
    assert done.code == 1
    message = done.err[done.err.index("Error: the ") :]
    assert " of phase 'probe', with the samples " in message
    assert message.count(".jpg") == 32  # of more
    assert "try a smaller --lr" in message


@pytest.mark.parametrize(
    ("precision", "words"),
    [
        ("fp32", "every epoch produced NaN metrics"),
        ("bf16", "basics/cnn does not work in bfloat16"),  # found out before training starts
    ],
)
def test_a_model_whose_evaluation_is_not_a_number_is_not_kept(
    photos: Path, tmp_path: Path, zoo_cli: Zoo, monkeypatch: pytest.MonkeyPatch,
    precision: str, words: str,
) -> None:  # fmt: skip
    (tmp_path / "torn.py").write_text(NO_NUMBERS)
    monkeypatch.syspath_prepend(tmp_path)
    done = zoo_cli(
        *("finetune", "cnn", "--data", photos, "--image-size", 32, "--epochs", 1),
        *("--surgery", "torn:evaluation", "--output", tmp_path / "run", "--workers", 0),
        *("--precision", precision),
    )
    assert done.code == 1
    assert words in done.err
    assert not (tmp_path / "run").exists()


class Titles(Quiet):
    """Records the titles of progress bars."""

    def __init__(self) -> None:
        self.titles: list[str] = []

    @contextmanager
    def steps(self, what: str, total: int) -> Iterator[Advance]:
        self.titles.append(what)
        with super().steps(what, total) as advance:
            yield advance


def test_an_epoch_records_waiting_and_padding(tmp_path: Path, zoo_cli: Zoo) -> None:
    texts = tmp_path / "texts.csv"
    rows = [f"{'word ' * (1 + n % 9)}{'good' if n % 2 else 'bad'},{n % 2}" for n in range(60)]
    texts.write_text("\n".join(["text,label", *rows]))
    done = zoo_cli(
        *("finetune", "lstm", "--data", texts, "--epochs", 1, "--batch-size", 48),
        *("--output", tmp_path / "run"),
    )
    (line,) = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    record = json.loads(line)
    assert 0 < record["waiting"] < 1
    assert 0 < record["padding"] < 0.9  # one batch of 48 with texts of 2 to 10 words
    assert f"  padding {record['padding']:.0%}  " in done.err
    reporter = Titles()
    images = zoo.finetune("cnn", **QUICK, output=tmp_path / "p", reporter=reporter, report=False)
    assert "validate" in reporter.titles
    assert "padding" not in json.loads((images.folder / "metrics.jsonl").read_text().split("\n")[0])


def test_a_tracker_that_is_not_there_is_reported(zoo_cli: Zoo) -> None:
    unknown = zoo_cli("finetune", "cnn", "--track", "tensorbord")
    assert "Did you mean 'tensorboard'?" in unknown.err
    absent = zoo_cli("finetune", "cnn", "--track", "aim")
    assert absent.code == 1
    assert "--track aim is not installed" in absent.err


@pytest.mark.slow
def test_rerun_gives_the_same_bytes_and_says_so(tmp_path: Path, zoo_cli: Zoo) -> None:
    run = zoo.finetune("cnn", **QUICK, output=tmp_path / "run", reporter=Quiet(), report=False)
    done = zoo_cli("rerun", run.folder, "--output", tmp_path / "again", "--json")
    assert done.code == 0, done.err
    assert done.json["identical"] is True
    assert done.json["differences"] == []
    record = json.loads((run.folder / "run.json").read_text())
    record["request"]["overrides"]["lr"] = 0.01
    (run.folder / "run.json").write_text(json.dumps(record))
    other = zoo_cli("rerun", run.folder, "--output", tmp_path / "other")
    assert other.code == 1
    assert "the weights differ" in other.out
    del record["request"]
    (run.folder / "run.json").write_text(json.dumps(record))
    early = zoo_cli("rerun", run.folder)
    assert early.code == 1
    assert "cannot be repeated" in early.err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--schedule", "cosin"), "Did you mean 'cosine'?"),
        (("--augment", "trival"), "Did you mean 'trivial'?"),
        (("--head-solver", "newton"), "must be one of adamw, lbfgs, got 'newton'"),
        (("--warmup", 1), "--warmup must be in [0, 1), got 1"),
        (("--clip", 0), "--clip must be greater than 0, got 0"),
        (("--ema", 1), "--ema must be in [0, 1), got 1"),
        (("--lora-rank", 0), "--lora-rank must be at least 1, got 0"),
        (("--patience", 0), "--patience must be at least 1, got 0"),
        (("--accumulate", 64), "--accumulate must be at most the batch size, 32, got 64"),
        (("--freeze", "conv9"), "no stage called 'conv9'"),
        (("--batch-size", "large"), "large"),
        (("--find-lr", "--save-every", 9), "--save-every has no effect with --find-lr"),
    ],
)
def test_options_that_cannot_be_are_reported_before_anything_is_written(
    options: tuple[object, ...],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    zoo_cli: Zoo,
) -> None:
    monkeypatch.chdir(tmp_path)
    done = zoo_cli("finetune", "cnn", "--classes", 2, *options)
    assert done.code in (1, 2)
    assert words in done.err
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_patience_ends_a_phase(tmp_path: Path) -> None:
    run = zoo.finetune(
        "cnn",
        **QUICK | {"epochs": 30},
        lr=1e-7,
        patience=2,
        output=tmp_path / "r",
        reporter=Quiet(),
        report=False,
    )
    lines = [json.loads(x) for x in (run.folder / "metrics.jsonl").read_text().splitlines()]
    assert len(lines) < 30
    assert [line["best"] for line in lines[-2:]] == [False, False]


def test_a_number_said_of_an_image_is_the_same_alone_and_in_company_though_bf16_trained(
    tmp_path: Path, zoo_cli: Zoo
) -> None:
    generator = np.random.default_rng(0)
    rows = ["file,price"]
    for number in range(40):
        pixels = generator.integers(0, 255, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
        rows.append(f"{number}.png,{200_000 + 100_000 * pixels.mean() / 128:.0f}")
    (tmp_path / "houses.csv").write_text("\n".join(rows))
    run = zoo.finetune(
        "cnn", tmp_path / "houses.csv", task="regression", label_column="price", image_size=32,
        epochs=1, precision="bf16", workers=0, output=tmp_path / "run", reporter=Quiet(), report=False,
    )  # fmt: skip
    images = sorted(tmp_path.glob("*.png"))
    together = [next(iter(p.values.values())) for p in run.predict(images, device="cpu")]
    alone = [
        next(iter(run.predict([image], device="cpu")[0].values.values())) for image in images[:5]
    ]
    assert together[:5] == pytest.approx(alone, rel=1e-5)
    assert run.record["precision"] == "bf16"
    assert run.record["evaluation_precision"] == "fp32"
    again = run.evaluate(tmp_path / "houses.csv")["val"].metrics
    assert again == pytest.approx(run.metrics, rel=1e-6)


@contextmanager
def types_computed() -> Iterator[dict[bool, set[torch.dtype]]]:
    """The types that layers give while they train (``True``) and while they answer."""
    seen: dict[bool, set[torch.dtype]] = {True: set(), False: set()}

    def note(module: nn.Module, _inputs: object, output: object) -> None:
        if isinstance(module, (nn.Conv2d, nn.Linear)) and isinstance(output, torch.Tensor):
            seen[module.training].add(output.dtype)

    handle = nn.modules.module.register_module_forward_hook(note)
    try:
        yield seen
    finally:
        handle.remove()


@pytest.mark.long
@pytest.mark.parametrize("backbone", [pytest.param("cnn", marks=pytest.mark.slow), "lstm"])
def test_every_answer_is_computed_in_float32_while_training_is_in_bf16(
    backbone: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "zoo.training.plan.choose_precision", lambda *_, **__: "bf16"
    )  # it tries bf16, and tells nothing
    with types_computed() as seen:  # validation and the first report are in here
        run = zoo.finetune(
            backbone, classes=3, epochs=1, strategy="full", precision="bf16", workers=0,
            output=tmp_path / "run", reporter=Quiet(), report=False,
        )  # fmt: skip
    assert torch.bfloat16 in seen[True]
    assert seen[False] == {torch.float32}
    some: list[Any] = (
        [run.record["example"]] if backbone == "lstm" else [run.folder / "example.png"]
    )
    data = tmp_path / "data.csv"
    if backbone == "lstm":
        data.write_text("text,label\n" + "".join(f"word {c},{c}\n" for c in run.classes))
    else:
        for name in run.classes:
            (tmp_path / "data" / name).mkdir(parents=True)
            shutil.copy(run.folder / "example.png", tmp_path / "data" / name)
        data = tmp_path / "data"
    run = zoo.open_run(run.folder)
    for answer in (
        lambda: run.predict(some),
        lambda: run.evaluate(data),
        lambda: run.report(),
        lambda: asked(run.predictor(), some),
    ):
        with types_computed() as seen:
            answer()
        assert seen == {True: set(), False: {torch.float32}}


def asked(predictor: Predictor, inputs: Sequence[Any]) -> None:
    """As a server asks."""
    raws = [path.read_bytes() if isinstance(path, Path) else path for path in inputs]
    predictor.outputs([predictor.prepare(raw) for raw in raws])


def test_a_frozen_beginning_in_bf16_is_measured_in_float32(photos: Path, tmp_path: Path) -> None:
    run = zoo.finetune(
        "cnn", photos, strategy="full", freeze_until="conv1", cached_views=2, epochs=2,
        precision="bf16", image_size=32, workers=0, output=tmp_path / "run", reporter=Quiet(), report=False,
    )  # fmt: skip
    assert run.evaluate(photos, device="cpu")["val"].metrics == pytest.approx(run.metrics, rel=1e-5)
