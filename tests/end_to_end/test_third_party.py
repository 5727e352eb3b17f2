"""Strangers' plugins: what a good one takes, and what bad ones do to everybody else: nothing."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.environments import DISTRIBUTIONS, Environment, by_distribution
from zoo.testing import META_CHECKS

BAD = {
    # distribution: (plugin, status, what the reason says)
    "raises": ("raises", "broken", "its import raised RuntimeError: this machine is not for me"),
    "missing": ("missing", "broken", "No module named 'a_module_that_nobody_has'"),
    "imports-torch": ("imports_torch", "ok", "imports torch before a backbone is built"),
    "sleeps": ("sleeps", "ok", "to return its catalogue"),
    "misspells": ("misspells", "broken", "did you mean zoo_backbones?"),
    "no-spec": ("no_spec", "broken", "dict, not BackboneSpec"),
    "twice": ("twice", "broken", "two specs called 'net'"),
    "takes-name": ("torchvision", "conflict", "'torchvision'"),
    "wrong-width": ("wrong_width", "ok", ""),
    "newer-core": ("newer_core", "incompatible", "zoo-finetune >=99"),
    "prints": ("prints", "ok", "prints to standard output"),
    "exits": ("exits", "broken", "its import raised SystemExit"),
}
LEFT_OUT = {name for name, (_, status, _) in BAD.items() if status != "ok"}


@pytest.fixture(scope="session")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment without strangers, whose index is kept."""
    environment = Environment(tmp_path_factory.mktemp("alone"))
    assert environment.zoo("list").code == 0
    return environment


@pytest.fixture(scope="session")
def rows_alone(alone: Environment) -> list[dict[str, Any]]:
    """What ``zoo list --all`` shows without strangers."""
    rows: list[dict[str, Any]] = alone.zoo("list", "--all", "--json").json
    return rows


@pytest.fixture
def stranger(alone: Environment, tmp_path: Path) -> Environment:
    """An environment to install into; zoo's own plugins are in its index."""
    environment = Environment(tmp_path / "environment")
    kept, index = alone.folder / "cache" / "index", environment.folder / "cache" / "index"
    index.mkdir(parents=True)
    for file in kept.iterdir():
        (index / file.name).write_bytes(file.read_bytes())
    return environment


@pytest.mark.slow
def test_bad_plugins_cost_nobody_else_anything(
    rows_alone: list[dict[str, Any]], stranger: Environment
) -> None:
    """Their time neither, from the second command on: the one that sleeps takes ten seconds once."""
    stranger.install(*BAD)
    start = time.perf_counter()
    after = stranger.zoo("list", "--all", "--json")
    assert after.code == 0
    assert time.perf_counter() - start > 10
    theirs = {f"{plugin}/net" for plugin, _, _ in BAD.values()}
    assert [row for row in after.json if row["name"] not in theirs] == rows_alone
    assert len(after.json) - len(rows_alone) == len(BAD) - len(LEFT_OUT)
    start = time.perf_counter()
    rows = stranger.plugins()
    assert time.perf_counter() - start < 5
    shown = stranger.zoo("plugins").out.splitlines()
    for name, (plugin, status, reason) in BAD.items():
        row = rows[f"zoo-test-{name}:{plugin}"]
        assert row["status"] == status, name
        assert reason in row["reason"]
        (line,) = [line for line in shown if f"zoo-test-{name} " in line]
        assert row["reason"] in line


@pytest.mark.parametrize("name", ["raises", pytest.param("prints", marks=pytest.mark.slow)])
def test_a_plugin_is_switched_off_in_three_ways(stranger: Environment, name: str) -> None:
    stranger.install(name)
    key = f"zoo-test-{name}:{name}"
    assert stranger.plugins()[key]["status"] != "disabled"
    flag = stranger.zoo("plugins", "--json", "--no-plugin", name).json
    assert {row["status"] for row in flag if row["name"] == name} == {"disabled"}
    assert stranger.plugins(ZOO_PLUGINS="torchvision,timm")[key]["status"] == "disabled"
    (stranger.work / "registry.toml").write_text(f"[plugins.{name}]\nenabled = false\n")
    row = stranger.plugins()[key]
    assert row["status"] == "disabled"
    assert "registry.toml" in row["reason"]
    assert "hello" not in stranger.zoo("list").err


def test_nothing_that_a_plugin_prints_reaches_the_documents(stranger: Environment) -> None:
    stranger.install("prints")
    done = stranger.zoo("list", "--json")
    assert done.json
    for way in ("print", "a descriptor", "a process"):
        assert f"hello from {way}" in done.err


def test_a_wrong_width_is_reported_when_the_backbone_is_used_and_shown_from_then_on(
    stranger: Environment, photos: Path
) -> None:
    stranger.install("wrong-width")
    done, shown, checked, shown_again = stranger.zoo_each(
        ("finetune", "wrong_width/net", "--data", photos, "--epochs", 1, "--no-report"),
        ("plugins", "--json"),
        ("check", "wrong_width", "--quiet"),
        ("plugins", "--json"),
    )
    assert done.code == 1
    assert "wrong_width/net returned features of shape (32, 8), expected width 16" in done.err
    assert "zoo check wrong_width/net" in done.err
    assert not (stranger.work / "runs").exists()
    row = by_distribution(shown)["zoo-test-wrong-width:wrong_width"]
    assert "expected width 16" in row["reason"]
    assert checked.code == 1
    assert "FAILED    wrong_width/net  features_have_the_declared_width" in checked.out
    row = by_distribution(shown_again)["zoo-test-wrong-width:wrong_width"]
    assert "checks of 'zoo check wrong_width'" in row["reason"]


@pytest.mark.long
def test_fine_tuning_goes_on_beside_every_bad_plugin(stranger: Environment, photos: Path) -> None:
    stranger.install(*BAD)
    done = stranger.zoo(
        *("finetune", "resnet18", "--data", photos, "--weights", "none", "--json"),
        *("--epochs", 1, "--image-size", 32, "--workers", 0, "--no-report"),
    )
    assert done.code == 0, done.err
    assert done.json["backbone"] == "torchvision/resnet18"


# -- good ones -------------------------------------------------------------------------------


def test_a_good_plugin_takes_at_most_25_lines_and_every_command_works_on_it(
    stranger: Environment, photos: Path
) -> None:
    code = (DISTRIBUTIONS / "good" / "zoo_test_good.py").read_text(encoding="utf-8")
    assert len([line for line in code.splitlines() if line.strip()]) <= 25
    stranger.install("good")
    run = stranger.work / "runs" / "net-1"
    train = ("finetune", "good/net", "--data", photos, "--no-report", "--epochs")
    checked, listed, shown, trained, evaluated, predicted, again, ranked = stranger.zoo_each(
        ("check", "good"),
        ("list", "good/*"),
        ("show", "good/net", "--layers"),
        (*train, 3, "--weights", "none"),
        ("evaluate", run, "--data", photos),
        ("predict", run, photos / "red", "--json"),
        (*train, 1, "--weights", run),
        ("recommend", photos, "good/net", "--weights", "none", "--json"),
    )
    assert checked.code == 0, checked.out
    assert checked.out.splitlines()[-1].endswith("0 failed, 0 skipped, 0 expected failures")
    assert "good/net" in listed.out
    assert "blocks" in shown.out
    assert trained.code == 0, trained.err
    assert evaluated.code == 0, evaluated.err
    assert len(predicted.json) == 24
    assert again.code == 0, again.err
    assert ranked.json["ranked"][0]["feature_dim"] == 32  # only the network knows it


@pytest.mark.long
def test_encoders_of_a_library_that_none_of_us_wrote(stranger: Environment) -> None:
    stranger.install("encoders")
    checked = stranger.zoo("check", "smp", "--quiet")
    assert checked.code == 0, checked.out
    assert "0 failed" in checked.out


@pytest.mark.slow
def test_a_head_and_a_strategy_of_a_plugin(stranger: Environment, photos: Path) -> None:
    stranger.install("extras")
    run = stranger.work / "runs" / "cnn-1"
    done, evaluated, missing = stranger.zoo_each(
        ("finetune", "cnn", "--data", photos, "--head", "cosine", "--strategy", "twice",
         "--epochs", 2, "--json", "--no-report"),
        ("evaluate", run, "--data", photos),
        ("evaluate", run, "--data", photos, "--no-plugin", "extras"),
    )  # fmt: skip
    assert done.code == 0, done.err
    assert "coarse" in done.err
    assert stranger.work / done.json["run"] == run
    phases = [line.split('"phase": "')[1].split('"')[0] for line in (run / "metrics.jsonl").open()]
    assert phases == ["head", "coarse", "coarse", "fine", "fine"]
    assert evaluated.code == 0, evaluated.err
    assert missing.code == 1
    assert "cosine" in missing.err


@pytest.mark.long  # in CI the tutorial's commands are typed
@pytest.mark.parametrize("modality", ["image", "text"])
def test_a_new_plugin_installs_and_keeps_the_contract(stranger: Environment, modality: str) -> None:
    written = stranger.zoo("new-plugin", "my-nets", "--modality", modality)
    assert written.code == 0, written.err
    assert written.out.splitlines()[-1].endswith("pip install -e . && zoo check my-nets")
    folder = stranger.work / "zoo-my-nets"
    stranger.pip("install", "-q", "--no-index", "--no-deps", "--no-build-isolation", "-e", folder)
    # The same checks as those of 'zoo check', and the plugin is found by what pip has installed.
    own = stranger.python("-m", "pytest", "-q", "-p", "no:cacheprovider", folder / "tests")
    assert own.code == 0, own.out
    assert "passed" in own.out
    twice = stranger.zoo("new-plugin", "my-nets")
    assert (twice.code, "exists" in twice.err) == (1, True)


# -- the index -------------------------------------------------------------------------------


@pytest.mark.long
def test_installing_editing_upgrading_and_removing_are_noticed(
    stranger: Environment, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in (DISTRIBUTIONS / "good").iterdir():
        if file.is_file():
            (copy / file.name).write_text(file.read_text())
    module, project = copy / "zoo_test_good.py", copy / "pyproject.toml"
    options = ("-q", "--no-index", "--no-deps", "--no-build-isolation")

    def listed() -> str:
        return stranger.zoo("list", "good/*").out

    assert "good/net" not in listed()
    stranger.pip("install", *options, "-e", copy)
    assert "good/net" in listed()
    module.write_text(module.read_text().replace('name="net"', 'name="other"'))
    assert "good/other" in listed()
    project.write_text(project.read_text().replace('version = "1.0"', 'version = "2.0"'))
    stranger.pip("install", *options, "--upgrade", copy)
    assert stranger.plugins()["zoo-test-good:good"]["version"] == "2.0"
    stranger.pip("uninstall", "-q", "-y", "zoo-test-good")
    assert "good/other" not in listed()


def test_two_processes_may_build_the_index_at_once(stranger: Environment) -> None:
    stranger.install("good")
    for file in (stranger.folder / "cache" / "index").iterdir():
        file.write_bytes(file.read_bytes()[:100])  # half-written, all of them
    command = [stranger.folder / "venv" / "bin" / "python", "-m", "zoo", "list", "--all"]
    environment = {"ZOO_CACHE": str(stranger.folder / "cache"), "PATH": "/usr/bin:/bin"}
    processes = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    outputs = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert outputs[0] == outputs[1] == outputs[2]
    assert "good/net" in outputs[0]


@pytest.mark.long
def test_a_hundred_plugins_slow_the_listing_by_less_than_half(stranger: Environment) -> None:
    stranger.install("good")
    code = (DISTRIBUTIONS / "good" / "zoo_test_good.py").read_text()
    for number in range(100):
        (stranger.site / f"many_{number}.py").write_text(
            code.replace("zoo_test_good", f"many_{number}")
        )
        metadata = stranger.site / f"many_{number}-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: many-{number}\nVersion: 1.0\n"
        )
        entry = f"[zoo.plugins]\nmany{number} = many_{number}\n"
        (metadata / "entry_points.txt").write_text(entry)
    assert len(stranger.plugins()) == 107
    alone = Environment(stranger.folder / "alone")
    assert len(alone.plugins()) == 6

    def seconds(environment: Environment) -> float:
        start = time.perf_counter()
        assert environment.zoo("list").code == 0
        return time.perf_counter() - start

    seconds(alone), seconds(stranger)  # warms the index
    # In turns, so that what else the machine does meets both; the fastest is what it takes alone.
    fewer, more = zip(*((seconds(alone), seconds(stranger)) for _ in range(15)), strict=True)
    assert min(more) <= 1.5 * min(fewer)


# -- pytest ----------------------------------------------------------------------------------


@pytest.mark.long
def test_the_kits_of_pytest_skip_nothing_silently(stranger: Environment) -> None:
    stranger.install("good")
    (stranger.work / "test_kit.py").write_text(
        'import zoo.testing\npytest_plugins = ["zoo.testing.fixtures"]\n\n\n'
        f'@zoo.testing.parametrize_backbones("good/*", checks={sorted(META_CHECKS)})\n'
        "def test_contract(check):\n    check()\n\n\n"
        "def test_alone(zoo_registry):\n"
        '    assert zoo_registry("good").names() == ["good/net"]\n'
    )
    (stranger.work / "test_none.py").write_text(
        "import zoo.testing\n\n\n"
        '@zoo.testing.parametrize_backbones("nobody/*")\ndef test_contract(check):\n    check()\n'
    )
    options = ("-q", "-p", "no:cacheprovider", "--continue-on-collection-errors")
    done = stranger.python("-m", "pytest", *options, "test_kit.py", "test_none.py")
    assert done.code == 1, done.out
    assert "ERROR test_none.py" in done.out
    assert "nobody/*" in done.out
    counts = re.findall(r"(\d+) (\w+)", done.out.splitlines()[-1].partition(" in ")[0])
    assert [what for _, what in counts] == ["passed", "error"], done.out
    assert int(counts[0][0]) > len(META_CHECKS)


@pytest.mark.long
def test_an_exemption_is_strict(stranger: Environment) -> None:
    stranger.install("good")
    module = stranger.site / "zoo_test_good.py"
    exemptions = (
        "\n\n@zoo.hookimpl\ndef zoo_exemptions():\n"
        '    yield zoo.Exemption(check="can_be_exported", reason="it is said so")\n'
        '    yield zoo.Exemption(check="can_fly", reason="it is said so")\n'
    )
    module.write_text(module.read_text() + exemptions)
    (done,) = stranger.zoo_each(("check", "good", "--quiet"))
    assert done.code == 1
    assert "despite an exemption (it is said so)" in done.out
    assert "there is no check called 'can_fly'" in done.out
    assert " 2 failed" in done.out.splitlines()[-1]


def test_installing_the_zoo_adds_nothing_to_an_unrelated_run_of_pytest(tmp_path: Path) -> None:
    (tmp_path / "test_other.py").write_text(
        "import sys\n\n\ndef test_other():\n"
        "    assert not [n for n in sys.modules if n == 'zoo' or n.startswith('zoo.')]\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
