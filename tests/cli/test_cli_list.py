"""``zoo list``: rows, filters, speed."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from tests.cli.conftest import Zoo
from tests.made_runs import made_run
from zoo import BackboneSpec, Weights
from zoo.cli.entries import Entry
from zoo.registry.policy import load_policy

HEAVY = ("torch", "torchvision", "timm", "transformers", "datasets", "accelerate")
ADDED = {"alias", "cached", "run", "accuracy", "commercial", "date"}


def _names(zoo: Zoo, *arguments: object) -> list[str]:
    """The first column."""
    result = zoo("list", *arguments)
    assert result.code == 0
    return [line.split()[0] for line in result.out.splitlines()[1:]]


# -- a small catalogue ----------------------------------------------------------------------


def test_without_a_pattern_the_short_names_are_listed_and_the_rest_counted(
    zoo: Zoo, acme: Path
) -> None:
    result = zoo("list")
    assert result.err == ""
    assert result.out.splitlines() == [
        "name   modality  params  feature_dim  input   weights  top-1  license     cached",
        "mid    image      25.0M          512  32 px   v1        80.2  Apache-2.0",
        "words  text           7           16  99 tok  none",
        "and 3 more: 'zoo list --all' or 'zoo list PATTERN'",
    ]


def test_filters_that_leave_no_short_name_show_the_others(zoo: Zoo, acme: Path) -> None:
    result = zoo("list", "--max-params", "24M", "--modality", "image")
    assert [line.split()[0] for line in result.out.splitlines()[1:]] == ["acme/small"]
    nothing = zoo("list", "--min-accuracy", 99)
    assert len(nothing.out.splitlines()) == 1
    assert nothing.err.startswith("No backbone matches all these filters.\n")


@pytest.mark.parametrize(
    ("arguments", "left_out", "last"),
    [
        (["--all", "--min-accuracy", 80.25], 2, None),  # bare and words have no accuracy
        (["--all", "--min-accuracy", 80.25, "--modality", "image"], 1, None),
        (["--min-accuracy", 80.25], 1, None),  # of the short names: words
        (["--all", "--license", "mit"], 1, None),  # nothing is stated of words
        (["--all", "--sort", "accuracy"], None, 2),
        (["--all", "--sort", "accuracy", "--min-accuracy", 80.25, "--json"], 2, None),
        (["--all", "--sort", "params"], None, None),
        (["--all", "--sort", "date"], None, 3),
        (["--all", "--since", "2020"], 3, None),
        (["--all", "--commercial"], 1, None),
    ],
)
def test_rows_that_a_filter_or_an_order_knows_nothing_of_are_counted(
    zoo: Zoo, acme: Path, arguments: list[object], left_out: int | None, last: int | None
) -> None:
    told = zoo("list", *arguments).err.splitlines()
    notes = [line.split() for line in told if line.startswith("Note: ")]
    counts = [(words[1], next(w for w in words if w in ("not", "last:"))) for words in notes]
    wanted = [(str(left_out), "not")] if left_out else []
    assert counts == [*wanted, *([(str(last), "last:")] if last else [])]


def test_a_plugins_backbones_are_listed_unless_it_features_others(zoo: Zoo, acme: Path) -> None:
    acme.write_text(acme.read_text().replace("return []", "return ['large', 'middle']"))
    assert _names(zoo) == ["mid", "words", "large", "and"]
    acme.write_text(acme.read_text().partition("@zoo.hookimpl\ndef zoo_featured")[0])
    assert _names(zoo) == ["mid", "words", "small", "large", "bare"]
    rows = {row["name"]: row["alias"] for row in zoo("list", "--json").document}
    assert rows["acme/large"] == "large"


def test_all_lists_canonical_names(zoo: Zoo, acme: Path) -> None:
    names = ["acme/bare", "acme/large", "acme/middle", "acme/small", "acme/words"]
    assert _names(zoo, "--all") == names


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["mid"], ["middle"]),
        (["'MIDDLE'".strip("'")], ["middle"]),
        (["acme/*d*"], ["middle", "words"]),
        (["--all", "--modality", "text"], ["words"]),
        (["--all", "--plugin", "acme", "--modality", "image", "--max-params", "1k"], ["small"]),
        (["--all", "--max-params", "25M"], ["middle", "small", "words"]),
        (["--all", "--max-params", "1.5B", "--sort", "params"], "words small middle bare large"),
        (["--all", "--min-accuracy", "80.25"], ["large", "middle"]),
        (["--all", "--license", "apache-2.0"], ["middle", "small"]),
        (["--all", "--license", "cc-by*"], ["large"]),
        (["--all", "--commercial"], ["bare", "middle", "small"]),  # nothing is stated of words
        (["--all", "--input-size", "32"], ["bare", "large", "middle", "small"]),
        (["--all", "--input-size", "33-"], ["words"]),
        (["--all", "--input-size", "-98", "--commercial"], ["bare", "middle", "small"]),
        (["--all", "--input-size", "99-100"], ["words"]),
        (["--all", "--since", "2015"], ["large", "middle"]),
        (["--all", "--since", "2015-12"], ["large", "middle"]),
        (["--all", "--since", "2016"], ["middle"]),
        (["--all", "--since", "2022-02"], []),
        (["--all", "--sort", "date"], "middle large bare small words"),
        (["--all", "--license", "MIT"], ["bare"]),
        (["--all", "--sort", "accuracy"], "large middle small bare words"),
        (["--all", "--sort", "feature_dim", "--modality", "image"], "large small bare middle"),
        (["*", "--sort", "name"], "bare large middle small words"),
    ],
)
def test_filters_and_orders(
    zoo: Zoo, acme: Path, arguments: list[str], names: list[str] | str
) -> None:
    wanted = names.split() if isinstance(names, str) else names
    assert _names(zoo, *arguments) == [f"acme/{name}" for name in wanted]


def test_filters_apply_to_the_short_names_and_to_the_count_of_the_others(
    zoo: Zoo, acme: Path
) -> None:
    lines = zoo("list", "--modality", "image", "--max-params", "30M").out.splitlines()
    assert [line.split()[0] for line in lines[1:-1]] == ["mid"]
    assert lines[-1].startswith("and 2 more: ")


def test_weights_on_this_machine_are_marked(zoo: Zoo, acme: Path, tmp_path: Path) -> None:
    file = tmp_path / "there.pth"
    file.touch()
    acme.write_text(
        acme.read_text().replace('weights("v1", 80.25)', f'weights("v1", 80.25, uri="{file}")')
    )
    assert _names(zoo, "--all", "--cached") == ["acme/middle"]
    cached = {row["name"]: row["cached"] for row in zoo("list", "--all", "--json").document}
    assert cached == {name: name == "acme/middle" for name in cached}
    file.unlink()
    assert zoo("list", "--all", "--cached", "--json").document == []


def test_json_has_the_specs_own_fields(zoo: Zoo, acme: Path) -> None:
    rows = zoo("list", "--json").document
    assert [row["name"] for row in rows] == ["acme/middle", "acme/words"]
    assert [row["alias"] for row in rows] == ["mid", "words"]
    for row in rows:
        assert set(row) == {field.name for field in fields(BackboneSpec)} | ADDED
        assert row["run"] is None
        BackboneSpec.from_json({key: row[key] for key in row if key not in ADDED})
    assert [row["alias"] for row in zoo("list", "bare", "--json").document] == [None]


def test_json_says_accuracy_commercial_use_and_date(zoo: Zoo, acme: Path) -> None:
    facts = {
        row["name"]: (row["accuracy"], row["commercial"], row["date"])
        for row in zoo("list", "--all", "--json").document
    }
    assert facts["acme/middle"] == (80.25, True, "2022-01")
    assert facts["acme/large"] == (90.5, False, "2015-12")
    assert facts["acme/words"] == (None, None, None)


@pytest.mark.parametrize(
    ("license_id", "commercial"),
    [
        ("CC-BY-4.0", True),
        ("CC-BY-SA-4.0", True),
        ("CC-BY-NC-SA-4.0", False),
        ("LicenseRef-fair-noncommercial-research-license", False),
        ("LicenseRef-apple-amlr", False),
        ("LicenseRef-gemma", None),
        ("", None),
    ],
)
def test_commercial_use_is_known_of_standard_licenses(
    license_id: str, commercial: bool | None
) -> None:
    row = {"weights": [{"license": license_id, "default": True}], "license": "MIT"}
    assert Entry("x", "a/x", row, "", False).commercial is commercial


@pytest.mark.parametrize(
    "arguments",
    [("--input-size", "big"), ("--input-size", "-"), ("--since", "22"), ("--since", "2022-13")],
)
def test_a_size_or_a_date_of_another_form_is_refused(
    zoo: Zoo, acme: Path, arguments: tuple[str, str]
) -> None:
    result = zoo("list", *arguments)
    assert result.code == 2
    assert f"{arguments[1]!r} is not a" in result.err


def test_what_matches_nothing_says_so_on_standard_error(zoo: Zoo, acme: Path) -> None:
    result = zoo("list", "midddle")
    assert result.code == 0
    assert len(result.out.splitlines()) == 1
    assert "No backbone matches 'midddle'. Closest: middle" in result.err
    result = zoo("list", "mid", "--min-accuracy", "99", "--json")
    assert result.document == []
    assert "No backbone matches all these filters." in result.err


def test_the_readmes_filters_find_backbones_of_timm(zoo: Zoo) -> None:
    filters = ("--max-params", "10M", "--min-accuracy", "75", "--sort", "accuracy")
    found = {row["name"] for row in zoo("list", *filters, "--json").document}
    assert {"timm/fastvit_t8", "timm/efficientformerv2_s0", "timm/vit_tiny_patch16_224"} <= found


def test_a_plugin_that_is_not_there_is_an_error(zoo: Zoo, acme: Path) -> None:
    result = zoo("list", "--plugin", "acne")
    assert result.code == 1
    assert "Error: no plugin is called 'acne'. Did you mean 'acme'?" in result.err


def test_a_broken_plugin_costs_a_line_on_standard_error(zoo: Zoo, acme: Path) -> None:
    acme.write_text("1 / 0")
    result = zoo("list")
    assert result.code == 0
    assert "Note: the plugin 'acme' is broken; see 'zoo plugins'." in result.err


# -- published runs -------------------------------------------------------------------------


@pytest.fixture
def plants(zoo: Zoo, acme: Path, tmp_path: Path) -> Path:
    """A run of ``acme/middle`` that is published as ``plants``; its folder."""
    weights = Weights(tag="v1", uri="/none", license="CC-BY-4.0").to_json()
    run = made_run(tmp_path / "run", _spec(zoo, "middle"), weights=weights, params=24_000_000)
    with (tmp_path / "registry.toml").open("a") as policy:
        policy.write('[models.plants]\nrun = "run"\n')
    return run


def _spec(zoo: Zoo, name: str) -> BackboneSpec:
    row = zoo("list", name, "--json").document[0]
    return BackboneSpec.from_json({k: v for k, v in row.items() if k not in ADDED})


def test_published_runs_come_first_with_what_they_have_learned(zoo: Zoo, plants: Path) -> None:
    assert zoo("list").out.splitlines() == [
        "name    modality  params  feature_dim  input   weights             top-1  license     cached",
        "plants  image      24.0M          512  32 px   run of acme/middle   91.2  CC-BY-4.0   yes",
        "mid     image      25.0M          512  32 px   v1                   80.2  Apache-2.0",
        "words   text           7           16  99 tok  none",
        "and 3 more: 'zoo list --all' or 'zoo list PATTERN'",
    ]
    assert _names(zoo, "--all")[:2] == ["plants", "acme/bare"]


def test_a_run_does_not_count_as_its_backbone(zoo: Zoo, plants: Path, tmp_path: Path) -> None:
    made_run(tmp_path / "other", _spec(zoo, "small"))
    with (tmp_path / "registry.toml").open("a") as policy:
        policy.write('[models.other]\nrun = "other"\n')
    assert zoo("list").out.splitlines()[-1].startswith("and 3 more")
    assert zoo("list", "--modality", "image").out.splitlines()[-1].startswith("and 3 more")


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["plant*"], ["plants"]),
        (["PLANT"], ["plants"]),
        (["middle"], ["plants", "acme/middle"]),
        (["acme/mid*"], ["plants", "acme/middle"]),
        (["--all", "--max-params", "24M", "--modality", "image"], ["plants", "acme/small"]),
        (["--all", "--min-accuracy", "91"], ["plants"]),
        (["--all", "--license", "cc-by-4.0"], ["plants"]),
        (["--all", "--cached"], ["plants"]),
        (["--modality", "text"], ["words"]),
        (
            ["--plugin", "acme", "--modality", "image", "--max-params", "24M"],
            ["plants", "acme/small"],
        ),
        (["--plugin", "acme", "--sort", "accuracy", "--min-accuracy", "50"], ["plants", "mid"]),
    ],
)
def test_filters_and_orders_work_on_published_runs(
    zoo: Zoo, plants: Path, arguments: list[str], names: list[str]
) -> None:
    assert [name for name in _names(zoo, *arguments) if name != "and"] == names


def test_a_published_runs_json_says_which_run_it_is(zoo: Zoo, plants: Path) -> None:
    (row,) = zoo("list", "plants", "--json").document
    assert (row["name"], row["alias"], row["run"]) == ("acme/middle", "plants", str(plants))
    (weights,) = row["weights"]
    assert weights["uri"] == str(plants / "model.safetensors")
    assert weights["metrics"] == {"validation/accuracy": 91.25}
    assert [r["run"] for r in zoo("list", "middle", "--json").document] == [str(plants), None]


def test_a_run_that_is_gone_keeps_its_row_with_a_note(zoo: Zoo, plants: Path) -> None:
    plants.rename(plants.with_name("elsewhere"))
    result = zoo("list")
    assert result.code == 0
    lines = result.out.splitlines()
    assert lines[1].split() == ["plants", "unreadable"]
    assert lines[2].startswith("mid ")
    note = f"Note: 'plants' is published as the run {plants}, which cannot be read: {plants} "
    assert note in result.err
    assert "zoo add --remove plants" in result.err
    assert zoo("list", "plants", "--json").document == []
    assert "plants" not in zoo("list", "--modality", "image").out, "nothing is known of it"
    assert "Note: 'plants' is published" in zoo("list", "plan*").err
    assert "plants" not in zoo("list", "mid").err


@pytest.mark.parametrize("content", ["{half a", "{}", '{"spec": 3}'])
def test_a_damaged_run_costs_its_own_row_alone(zoo: Zoo, plants: Path, content: str) -> None:
    (plants / "run.json").write_text(content)
    result = zoo("list")
    assert (result.code, len(result.out.splitlines())) == (0, 5)
    assert "run.json" in result.err


def test_what_matches_no_name_may_be_near_that_of_a_run(zoo: Zoo, plants: Path) -> None:
    assert "Closest: plants" in zoo("list", "plaints").err
    assert (
        "No backbone matches all these filters." in zoo("list", "plants", "--min-accuracy", 99).err
    )


def test_a_run_hides_the_short_name_that_it_took_by_hand(
    zoo: Zoo, plants: Path, tmp_path: Path
) -> None:
    with (tmp_path / "registry.toml").open("a") as policy:
        policy.write('[models.mid]\nrun = "run"\n')
    assert _names(zoo) == ["plants", "mid", "words", "and"]


def test_published_runs_import_nothing_heavy(zoo: Zoo, plants: Path) -> None:
    code = f"""
import sys
from zoo.cli import main
sys.argv = ["zoo", "list"]
try:
    main()
except SystemExit:
    pass
assert not [name for name in {(*HEAVY, "tomlkit")!r} if name in sys.modules]
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, "")
    assert "run of acme/middle" in run.stdout


# -- the catalogue that the zoo ships -------------------------------------------------------


def test_the_shipped_short_names_all_lead_somewhere(zoo: Zoo) -> None:
    rows = zoo("list", "--json").document
    shipped = load_policy().aliases
    assert len(shipped) >= 40
    aliases = [row["alias"] for row in rows]
    assert aliases[: len(shipped)] == list(shipped)
    assert {"cnn", "lstm"} <= set(aliases[len(shipped) :])


def test_more_than_1400_architectures_are_listed_without_heavy_imports(cache: Path) -> None:
    code = f"""
import sys
from zoo.cli import main
sys.argv = ["zoo", "list", "--all"]
try:
    main()
except SystemExit:
    pass
assert not [name for name in {HEAVY!r} if name in sys.modules]
"""
    for _ in ("when the plugins are asked", "from the index"):
        run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert (run.returncode, run.stderr) == (0, "")
        assert len(run.stdout.splitlines()) > 1401


@pytest.mark.long
def test_listing_takes_a_twentieth_of_the_time_that_timm_takes() -> None:
    ours = [sys.executable, "-m", "zoo", "list"]
    # Beside a CPU torch, torchvision and with it timm cannot be imported without this line.
    declare = (
        "from zoo.system.tensors.torchvision_operators import declare_missing_operators as d; d(); "
    )
    theirs = [sys.executable, "-c", f"{declare}import timm; timm.list_models()"]
    _seconds(ours)
    metrics = [(_seconds(ours), _seconds([*ours, "--all"]), _seconds(theirs)) for _ in range(2)]
    short, whole, timm = (min(column) for column in zip(*metrics, strict=True))
    assert short * 20 <= timm, f"{short:.3f} s against {timm:.3f} s"
    assert whole * 20 <= timm, f"--all: {whole:.3f} s against {timm:.3f} s"


def _seconds(command: list[str]) -> float:
    """Processor time of the whole process: what else the machine does counts for nothing."""
    compiled = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        command, env=compiled, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
