"""``zoo plugins``, ``zoo sync``, ``zoo doctor``."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import ACME, Zoo
from zoo.system.processor import usable_cores

Install = Callable[..., Path]


# -- plugins and sync -----------------------------------------------------------------------


def _plugins(zoo: Zoo) -> dict[str, dict[str, Any]]:
    return {plugin["name"]: plugin for plugin in zoo("plugins", "--json").document}


def test_the_zoos_own_plugins_are_well(zoo: Zoo) -> None:
    plugins = _plugins(zoo)
    assert {"torchvision", "timm", "hf", "basics", "serve"} <= plugins.keys()
    assert {p["name"]: p["reason"] for p in plugins.values() if p["status"] != "ok"} == {}
    assert plugins["torchvision"]["backbones"] == 80
    keys = ["name", "distribution", "version", "status", "reason", "backbones"]
    assert list(plugins["hf"]) == keys


def test_a_broken_plugin_says_why_and_heals_at_the_next_command(
    zoo: Zoo, install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZOO_PLUGINS", "acme")
    module = install("acme", "raise OSError('no such library')")
    acme = _plugins(zoo)["acme"]
    assert acme["status"] == "broken"
    assert acme["reason"] == "its import raised OSError: no such library"
    assert acme["backbones"] == 0
    module.write_text(ACME)
    acme = _plugins(zoo)["acme"]
    assert (acme["status"], acme["reason"], acme["backbones"]) == ("ok", "", 5)


def test_the_table_has_every_reason_in_one_line(zoo: Zoo, install: Install) -> None:
    install("acme", "raise OSError('word ' * 60)")
    lines = zoo("plugins").out.splitlines()
    assert lines[0].split() == ["name", "distribution", "version", "status", "backbones", "reason"]
    (row,) = [line for line in lines if line.startswith("acme")]
    assert row.count("word") == 60


def test_no_plugin_works_as_if_it_were_not_installed(
    zoo: Zoo, acme: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZOO_NO_PLUGIN", "")  # so that the test's end takes back what the flag sets
    assert "acme/small" in zoo("list", "small").out
    assert "small" not in zoo("list", "small", "--no-plugin", "acme").out
    monkeypatch.setenv("ZOO_NO_PLUGIN", "")
    (row,) = [
        p for p in zoo("--no-plugin", "acme", "plugins", "--json").document if p["name"] == "acme"
    ]
    assert (row["status"], "--no-plugin" in row["reason"]) == ("disabled", True)


def test_two_distributions_that_claim_one_name_are_a_conflict(zoo: Zoo, install: Install) -> None:
    install("acme", ACME, distribution="one")
    install("acme", ACME, distribution="two")
    rows = [p for p in zoo("plugins", "--json").document if p["name"] == "acme"]
    assert [row["status"] for row in rows] == ["conflict", "conflict"]
    assert "one and two" in rows[0]["reason"]


def test_sync_tells_the_number_of_backbones(zoo: Zoo, acme: Path) -> None:
    assert zoo("sync", "acme").code == 1
    acme.write_text(ACME + "\nzoo_sync = zoo.hookimpl(lambda: [image('new')])\n")
    assert zoo("sync", "acme").out == "acme: 1 backbones\n"
    assert zoo("sync", "acme", "--json").document == {"plugin": "acme", "backbones": 1}
    assert [row["name"] for row in zoo("list", "--all", "--json").document] == ["acme/new"]


# -- doctor ---------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoo.system.network.hub_reachable", lambda: False)


def _findings(zoo: Zoo, code: int) -> dict[str, dict[str, str]]:
    result = zoo("doctor", "--json")
    assert result.code == code
    assert result.document["ok"] is (code == 0)
    return {finding["subject"]: finding for finding in result.document["findings"]}


def test_doctor_tells_what_matters_and_an_unreachable_hub_is_no_error(zoo: Zoo, acme: Path) -> None:
    findings = _findings(zoo, 0)
    for subject in (
        "python",
        "zoo",
        "torch",
        "torchvision",
        "timm",
        "transformers",
        "datasets",
        "accelerate",
        "cores",
        "device",
        "precision",
        "torch and torchvision",
        "zoo cache",
        "torch cache",
        "Hub cache",
        "registry.toml",
        "plugin acme",
        "Hugging Face Hub",
    ):
        assert findings[subject]["status"] in ("ok", "warning"), findings[subject]
        assert findings[subject]["value"]
    assert findings["Hugging Face Hub"]["status"] == "warning"
    assert "--weights none" in findings["Hugging Face Hub"]["advice"]
    assert findings["precision"]["value"].split()[0] in ("bf16", "fp32")
    assert findings["short names"]["value"] == "1 not found: lost"


def test_everything_that_is_not_well_comes_with_advice(zoo: Zoo, acme: Path) -> None:
    acme.write_text("1 / 0")
    for finding in _findings(zoo, 1).values():
        assert (finding["status"] == "ok") == (not finding["advice"])


def test_a_broken_plugin_is_wrong(zoo: Zoo, acme: Path) -> None:
    acme.write_text("1 / 0")
    result = zoo("doctor")
    assert result.code == 1
    assert "ERROR: plugin acme: broken: its import raised ZeroDivisionError" in result.out
    assert "1 error" in result.out


def test_a_missing_and_an_old_library_are_wrong(
    zoo: Zoo, acme: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importlib.metadata.version

    def version(name: str) -> str:
        if name == "timm":
            raise importlib.metadata.PackageNotFoundError(name)
        return "0.0.1" if name == "rich" else real(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    findings = _findings(zoo, 1)
    assert findings["timm"]["value"].endswith(findings["timm"]["advice"].split("'")[1])
    assert findings["timm"]["advice"].startswith("pip install -U 'timm>=")
    assert findings["rich"]["value"].startswith("0.0.1;")
    assert findings["click"]["status"] == "ok"


@pytest.mark.parametrize(("works", "status"), [(True, "ok"), (False, "warning")])
def test_a_torchvision_that_does_not_match_is_explained(
    zoo: Zoo, acme: Path, monkeypatch: pytest.MonkeyPatch, works: bool, status: str
) -> None:
    monkeypatch.setattr(
        "zoo.system.tensors.torchvision_operators.declare_missing_operators", lambda: works
    )
    finding = _findings(zoo, 0)["torch and torchvision"]
    assert finding["status"] == status
    assert ("works around it" in finding["advice"]) is not works


@pytest.mark.filterwarnings("ignore:failed to write the index")
def test_a_cache_that_cannot_be_written_is_wrong(
    zoo: Zoo, acme: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "file" / "cache"))
    finding = _findings(zoo, 1)["zoo cache"]
    assert str(tmp_path / "file" / "cache") in finding["value"]
    assert "ZOO_CACHE" in finding["advice"]


def test_a_policy_that_cannot_be_read_is_wrong(zoo: Zoo, acme: Path, tmp_path: Path) -> None:
    (tmp_path / "registry.toml").write_text("[alias]\n")
    finding = _findings(zoo, 1)["registry.toml"]
    assert "line 1: unknown key 'alias'" in finding["value"]


def test_a_plugin_that_is_only_named_is_a_warning(
    zoo: Zoo, acme: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZOO_PLUGINS", "acme,acne")
    assert "'acne'" in _findings(zoo, 0)["ZOO_PLUGINS"]["value"]


# -- cores ----------------------------------------------------------------------------------


def _tree(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({}, 16),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, 16),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "150000 100000\n"}, 1.5),
        ({"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/cpu.max": "200000 100000\n"}, 2),
        (
            {
                "proc/self/cgroup": "0::/a/b\n",
                "sys/fs/cgroup/a/cpu.max": "400000 100000\n",
                "sys/fs/cgroup/a/b/cpu.max": "800000 100000\n",
            },
            4,
        ),
        (
            {
                "proc/self/cgroup": "3:cpuset:/\n2:cpu,cpuacct:/job\n",
                "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us": "300000\n",
                "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us": "100000\n",
            },
            3,
        ),
        (
            {
                "proc/self/cgroup": "1:cpu:/\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            16,
        ),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "9900000 100000\n"}, 16),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "nonsense\n"}, 16),
    ],
)
def test_usable_cores_are_those_of_the_affinity_and_the_quota(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], cores: float
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(16)), raising=False)
    assert usable_cores(_tree(tmp_path, files)) == cores
