"""What the report says of a head that was solved for, and where a network looked to rule a class out."""

from __future__ import annotations

from typing import Any

import jinja2
import numpy as np
import pytest
import torch

import zoo
from zoo.modalities.image.attribution import grad_cam
from zoo.runs.how_trained import strategy_in_words, strengths_of, without_folders
from zoo.runs.predictions import EvaluatedSamples
from zoo.runs.report.tables import learning_curves
from zoo.tasks.multi_label import MultiLabel

SOLVED = [
    {"phase": "probe", "metric": "macro_f1", "strength": 10.0**-k, "macro_f1": 0.5, "loss": 1.0}
    for k in range(5)
]
STEPS = [
    {"phase": "full", "metric": "macro_f1", "lr": 1e-4, "macro_f1": 0.5 + k / 10, "loss": 1.0}
    for k in range(3)
]


def test_strengths_of_regularisation_are_not_drawn_as_epochs() -> None:
    assert learning_curves(SOLVED, 2) == []
    drawn = dict(learning_curves([*SOLVED, *STEPS], 7))
    assert drawn.keys() == {"Loss", "Macro F1"}
    chart = drawn["Macro F1"]
    assert [tick.text for tick in chart.across] == ["1", "2", "3"]
    assert chart.best == chart.across[1].at  # the second of the epochs, the seventh of the lines
    assert dict(learning_curves([*SOLVED, *STEPS], 3))["Loss"].best is None


@pytest.mark.parametrize(
    ("lines", "unit"),
    [(SOLVED, "strength"), (STEPS, "epoch"), ([*SOLVED, *STEPS], "strength or epoch")],
)
def test_the_table_of_a_probe_calls_a_strength_a_strength(
    lines: list[dict[str, Any]], unit: str
) -> None:
    pages = jinja2.Environment(loader=jinja2.PackageLoader("zoo.runs.report"), autoescape=True)
    pages.filters |= {"number": str, "percent": str}
    parts: Any = pages.get_template("parts.j2").module
    table = parts.epochs(lines, "macro_f1", {"macro_f1": "macro F1"}.get)
    assert f'<th scope="col">{unit}</th>' in table
    assert f'aria-label="Every {unit}"' in table
    assert (">0.01</th>" in table.replace("strength ", "")) is ("strength" in unit)
    assert ('<th scope="row">3</th>' in table) is ("epoch" in unit)  # counted without the strengths


def test_a_metric_with_a_capital_inside_keeps_its_name_as_a_title() -> None:
    lines = [{"phase": "full", "metric": "map", "map": k / 10, "loss": 1.0} for k in range(3)]
    assert [title for title, _ in learning_curves(lines, 2)] == ["Loss", "mAP"]


def test_the_strategy_names_what_a_phase_used_and_nothing_else() -> None:
    recipe = {"strategy": "two-stage", "lr": 0.1, "batch_size": 32, "epochs": 5}
    probe = {"name": "probe", "solver": "lbfgs", "settings": {"seed": 0}}
    full = {"name": "full", "epochs": 5, "lr": 0.1, "settings": {"batch_size": 32}}
    tried = [line | {"best": k < 2} for k, line in enumerate(SOLVED)]
    assert strategy_in_words(recipe | {"strategy": "probe"}, [probe]) == (
        "probe: head fitted by L-BFGS"
    )
    assert strategy_in_words(recipe | {"strategy": "probe"}, [probe], *strengths_of(tried)) == (
        "probe: head fitted by L-BFGS, 5 strengths of L2 regularisation, 1 to 0.0001; chosen: 0.1"
    )
    assert strategy_in_words(recipe, [probe, full]).endswith(
        "; full: 5 epochs, learning rate 0.1, batches of 32"
    )
    assert strategy_in_words(recipe, None) == "two-stage"


def test_a_path_on_somebodys_disk_is_shown_by_its_name() -> None:
    found = [without_folders(each) for each in ("/home/me/photos", r"C:\me\w.pt", "hf:a/b", "data")]
    assert found == ["photos", "w.pt", "hf:a/b", "data"]


def test_of_a_class_that_is_ruled_out_the_map_shows_what_spoke_against_it() -> None:
    torch.manual_seed(0)
    backbone = zoo.load("cnn", weights="none", classes=2).eval()
    with torch.no_grad():  # every feature speaks against the first class
        backbone.head[-1].weight[0].fill_(-1.0) if hasattr(
            backbone.head, "__getitem__"
        ) else backbone.head.weight[0].fill_(-1.0)
    pixels = torch.rand(2, 3, 32, 32)
    plain = grad_cam(backbone, pixels, [0, 0]).maps
    turned = grad_cam(backbone, pixels, [0, 0], [True, True]).maps
    assert turned.max(axis=(1, 2)).min() == 1.0
    assert turned.mean() > plain.mean()
    evaluated = EvaluatedSamples(
        ("a", "b"), np.array([[1, 0], [0, 1]]), np.array([[0.1, 0.2], [0.9, 0.8]])
    )
    found = {
        case.decision: case.against
        for case in MultiLabel().cases(evaluated.outputs, evaluated.labels, ["x", "y"])
    }
    assert found == {"x missed": True, "x wrongly given": False}
