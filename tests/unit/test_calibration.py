"""What is fitted on held-out outputs: temperature, thresholds, conformal and energy scores."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from zoo.errors import RunError
from zoo.runs.calibrating import calibrated, fit_temperature
from zoo.runs.calibration_file import Scores, read_calibration, write_calibration
from zoo.runs.feature_bank import BANK, FeatureBank, read_bank
from zoo.tasks.multi_label import MultiLabel
from zoo.tasks.regression import Regression
from zoo.tasks.single_label import SingleLabel
from zoo.tasks.task import Task

CLASSES = ("a", "b", "c", "d")


def drawn(count: int, seed: int = 0) -> tuple[torch.Tensor, NDArray[np.int64]]:
    """Logits, and labels drawn from their softmax: calibrated with a temperature of 1."""
    random = np.random.default_rng(seed)
    logits = random.normal(scale=2, size=(count, len(CLASSES)))
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = (random.random((count, 1)) > chances.cumsum(axis=1)).sum(axis=1)
    return torch.from_numpy(logits), labels.clip(max=len(CLASSES) - 1)


@pytest.mark.parametrize("scale", [0.3, 1.0, 4.0])
def test_the_temperature_is_the_factor_of_the_logits(scale: float) -> None:
    logits, labels = drawn(6000)
    assert fit_temperature(SingleLabel(), logits * scale, labels) == pytest.approx(scale, rel=0.06)


def test_overconfident_logits_have_a_fraction_of_their_calibration_error() -> None:
    logits, labels = drawn(2000)
    found = calibrated(SingleLabel(), logits * 4, labels, CLASSES)
    assert found is not None
    assert found.error_before is not None
    assert found.error_after is not None
    assert found.error_before > 0.1
    assert found.error_after < found.error_before / 3
    new, truth = drawn(4000, seed=1)
    rescaled = SingleLabel().decode(new * 4 / found.temperature)
    assert SingleLabel().confidences(rescaled, truth)[0].mean() == pytest.approx(
        (rescaled.argmax(axis=1) == truth).mean(), abs=0.03
    )


@pytest.mark.parametrize(("task", "most"), [(SingleLabel(), 0.9951), (MultiLabel(), 0.9951)])
def test_samples_that_are_all_right_are_no_reason_to_be_certain(task: Task, most: float) -> None:
    """100 of 100 right says at most that one more may be wrong."""
    labels = np.arange(100) % 2
    logits = torch.from_numpy(np.eye(2)[labels] * 2 - 1)  # too little sure of all
    given = labels if task.truth_column == "label" else np.eye(2, dtype=np.float32)[labels]
    found = calibrated(task, logits, given, ("a", "b"))
    assert found is not None
    assert task.decode(logits / found.temperature).max() == pytest.approx(most, abs=1e-3)


def test_a_temperature_that_does_not_help_other_samples_is_1() -> None:
    random = np.random.default_rng(3)
    found = [
        calibrated(SingleLabel(), *drawn(24, seed=int(random.integers(1000))), CLASSES)
        for _ in range(20)
    ]
    kept = [each for each in found if each is not None and each.temperature == 1]
    assert 3 < len(kept) < 20  # logits of that few samples; the rest helps by chance
    assert all(each.error_after == each.error_before for each in kept)


def test_no_group_is_in_both_halves() -> None:
    """Copies of a sample in both halves would let the error be measured on what was fitted."""
    logits, labels = drawn(40)
    copies = torch.cat([logits * 4] * 5)
    groups = np.tile(np.arange(40).astype(str), 5)
    grouped = calibrated(SingleLabel(), copies, np.tile(labels, 5), CLASSES, groups)
    single = calibrated(SingleLabel(), logits * 4, labels, CLASSES, np.arange(40).astype(str))
    assert grouped is not None
    assert single is not None
    assert grouped.loss_after == pytest.approx(single.loss_after, rel=0.02)


@pytest.mark.parametrize("coverage", [0.8, 0.9, 0.99])
def test_scores_cover_new_samples_as_promised(coverage: float) -> None:
    random, shares = np.random.default_rng(0), []
    for _ in range(200):
        limit = Scores.of(random.normal(size=300)).quantile(coverage)
        assert limit is not None
        shares.append((random.normal(size=300) <= limit).mean())
    assert coverage - 0.005 < np.mean(shares) < coverage + 0.01


def test_ranks_are_those_of_split_conformal_prediction() -> None:
    scores = Scores.of(np.arange(1.0, 10.0))  # nine
    assert [scores.quantile(share) for share in (0.1, 0.5, 0.9)] == [1, 5, 9]
    assert scores.quantile(0.91) is None
    many = Scores.of(np.arange(1.0, 12_346.0))
    assert len(many.values) == 1000
    assert many.values[-1] == 12_345
    for share in (0.05, 0.5, 0.9, 0.999):
        limit = many.quantile(share)
        assert limit is not None
        assert 0 <= limit - 12_346 * share <= 14  # never below, by 0.1 % at most


def test_thresholds_have_the_highest_f1() -> None:
    outputs = np.array([[0.1, 0.9], [0.2, 0.8], [0.4, 0.7], [0.3, 0.1]])
    labels = np.array([[0, 0], [1, 0], [1, 0], [1, 0]], dtype=np.float32)
    found = MultiLabel().best_thresholds(outputs, labels)
    assert found == pytest.approx([0.15, 0.5])


def test_intervals_of_regression_hold_the_true_value_as_promised() -> None:
    random, shares = np.random.default_rng(0), []
    for _ in range(100):
        truth = random.normal(scale=(5, 50), size=(400, 2)).astype(np.float32)
        task = Regression().fitted(truth)
        outputs = truth + random.normal(scale=(1, 9), size=truth.shape)
        logits = task.encode(outputs)
        found = calibrated(task, logits[:200], truth[:200], ("x", "y"))
        assert found is not None
        assert (found.temperature, found.error_before, found.thresholds) == (1.0, None, None)
        limits = [limit for each in found.conformal if (limit := each.quantile(0.9)) is not None]
        within = [
            [
                low <= value <= high
                for value, (low, high) in zip(row, fields["intervals"].values(), strict=True)
            ]
            for row, fields in zip(
                truth[200:].tolist(), task.promised(outputs[200:], limits, ("x", "y")), strict=True
            )
        ]
        shares.append(np.mean(within, axis=0))
    assert np.abs(np.mean(shares, axis=0) - 0.9).max() < 0.01


def test_what_other_tasks_do_not_have() -> None:
    logits = torch.randn(30, 2, generator=torch.Generator().manual_seed(0))
    numbers = logits.numpy()
    flags = calibrated(MultiLabel(), logits, (numbers > 0).astype(np.float32), ("x", "y"))
    assert flags is not None
    assert flags.conformal == ()
    assert flags.thresholds is not None
    assert MultiLabel().promised(numbers, (), ("x", "y")) == [{}] * 30
    assert calibrated(SingleLabel(), logits[:19], np.zeros(19, dtype=np.int64), ("x", "y")) is None
    lost = torch.full_like(logits, torch.nan)
    assert calibrated(SingleLabel(), lost, np.zeros(30, dtype=np.int64), ("x", "y")) is None


def test_inputs_unlike_the_training_data_are_far_from_it(tmp_path: Path) -> None:
    """Samples are in some clusters on a sphere; another kind is in none of them."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(5, 32, generator=generator)
    usual = centres.repeat(30, 1) + 0.3 * torch.randn(150, 32, generator=generator)
    unusual = torch.randn(50, 32, generator=generator)
    FeatureBank.of(usual[:100]).write(tmp_path)
    bank = read_bank(tmp_path, 32)
    assert bank is not None
    near, far = (
        bank.distances(7 * usual[100:]),
        bank.distances(unusual),
    )  # their length does not matter
    assert far.min() > near.max()
    rows, one = torch.nn.functional.normalize(usual[:100]), unusual[0] / unusual[0].norm()
    nearest = float((1 - rows.half().float() @ one).min())
    assert float(far[0]) == pytest.approx(nearest, abs=1e-6)
    scores = Scores.of(near.double().numpy())
    assert (
        scores.share_below(-1),
        scores.share_below(float(near.max())),
        scores.share_below(2),
    ) == (*(0, 0.98, 1),)
    assert scores.share_below(float("nan")) == 1
    assert read_bank(tmp_path / "elsewhere", 32) is None
    for damage in (torch.zeros(3, 31), torch.zeros(3), torch.full((3, 32), torch.nan)):
        FeatureBank(damage).write(tmp_path)
        with pytest.raises(RunError, match="is damaged"):
            read_bank(tmp_path, 32)
    (tmp_path / BANK).write_bytes(b"no tensors")
    with pytest.raises(RunError, match="is damaged"):
        read_bank(tmp_path, 32)


def test_the_file_holds_everything_and_damage_is_told(tmp_path: Path) -> None:
    found, path = calibrated(SingleLabel(), *drawn(50), CLASSES), tmp_path / "calibration.json"
    assert found is not None
    assert read_calibration(path, CLASSES) is None
    found = replace(found, thresholds=dict.fromkeys(CLASSES, 0.25))
    write_calibration(path, found)
    assert read_calibration(path, CLASSES) == found
    good = json.loads(path.read_text())
    for change in (
        {"temperature": 0.0},
        {"samples": "many"},
        {"thresholds": {"a": 0.5}},
        {"distance": {"samples": 1, "values": [1.0, 2.0]}},
        {"conformal": [{"samples": 1, "values": []}]},
        {"conformal": None},
    ):
        path.write_text(json.dumps({**good, **change}))
        with pytest.raises(RunError, match="is damaged"):
            read_calibration(path, CLASSES)
