"""Published accuracies of timm's weights: each result at the weights that it was measured with."""

from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from zoo.errors import UsageError
from zoo_timm import accuracies, plugin, rows

ROWS = {spec.name: spec for spec in plugin.zoo_backbones()}

TABLE = """model,img_size,top1,top1_err,top5,top5_err,param_count,crop_pct,interpolation
resnet18.a1_in1k,288,73.158,26.842,91.026,8.974,11.69,1.000,bicubic
resnet18.a1_in1k,224,71.496,28.504,90.078,9.922,11.69,0.950,bicubic
resnet18.no_such_tag,224,99.0,1.0,99.9,0.1,11.69,0.950,bicubic
resnet34,224,99.0,1.0,99.9,0.1,21.80,0.950,bicubic
"""


def test_the_catalogue_states_what_timm_measured() -> None:
    stated = {f"{s.name}.{w.tag}": w.metrics for s in ROWS.values() for w in s.weights if w.metrics}
    assert len(stated) == 1266
    assert sum(bool(s.default_weights and s.default_weights.metrics) for s in ROWS.values()) == 894
    assert stated["eva02_large_patch14_448.mim_m38m_ft_in22k_in1k"] == {
        "imagenet1k/top1": 90.056,
        "imagenet1k/top5": 99.054,
    }
    resnet = stated["resnet50.a1_in1k"]  # 224 pixels in training, 288 in timm's second result
    assert (resnet["imagenet1k/top1"], resnet["imagenet1k@288/top1"]) == (80.382, 81.24)
    assert next(iter(resnet)) == "imagenet1k/top1"
    assert all(len(w.metrics) == 0 for s in ROWS.values() for w in s.weights if w.classes != 1000)
    assert "results-imagenet.csv" in rows.accuracies_source(rows.CATALOGUE)


def test_a_result_goes_to_its_name_and_tag_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, catalogue = tmp_path / "results.csv", tmp_path / "catalogue.json"
    table.write_text(TABLE)
    bare = accuracies.with_known_accuracies([ROWS["resnet18"], ROWS["resnet34"]], [])
    assert not any(w.metrics for spec in bare for w in spec.weights)
    rows.write(bare, catalogue, version="1", accuracies="")
    monkeypatch.setattr(rows, "CATALOGUE", catalogue)
    done = CliRunner().invoke(accuracies.main, [str(table), "--source", "https://a.b"])
    assert done.exit_code == 0
    assert rows.accuracies_source(catalogue) == "https://a.b"
    found = {f"{s.name}.{w.tag}": w.metrics for s in rows.read(catalogue) for w in s.weights}
    assert {name for name, metrics in found.items() if metrics} == {"resnet18.a1_in1k"}
    assert list(found["resnet18.a1_in1k"].items()) == [
        ("imagenet1k/top1", 71.496),
        ("imagenet1k/top5", 90.078),
        ("imagenet1k@288/top1", 73.158),
        ("imagenet1k@288/top5", 91.026),
    ]


def test_rebuilding_the_catalogue_keeps_the_accuracies_of_weights_that_are_the_same() -> None:
    spec = ROWS["resnet18"]
    bare = replace(spec, weights=tuple(replace(w, metrics={}) for w in spec.weights))
    assert accuracies.with_known_accuracies([bare], ROWS.values()) == [spec]
    moved = replace(bare, weights=tuple(replace(w, uri="hf:a/b") for w in bare.weights))
    assert accuracies.with_known_accuracies([moved], ROWS.values()) == [moved]


def test_a_table_of_another_kind_is_refused_with_its_line(tmp_path: Path) -> None:
    table = tmp_path / "results.csv"
    table.write_text(TABLE.replace("90.078", "high"))
    with pytest.raises(UsageError, match=r"line 3 .*high"):
        accuracies.read_results(table)
