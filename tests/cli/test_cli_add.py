"""``zoo add``: names for runs, in a file that stays the user's own."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from tests.cli.conftest import Zoo
from tests.made_runs import made_run
from zoo import BackboneSpec, ImageInput
from zoo.registry import publishing
from zoo.registry.policy import user_file

OWN = """# my own settings
[aliases]  # short
  mine   = "acme/small"

# not today
[plugins.other]
enabled = false
"""

SPEC = BackboneSpec(
    name="acme/middle", modality="image", feature_dim=8, params=100, input=ImageInput(size=32),
    loader="nowhere:load",
)  # fmt: skip


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return made_run(tmp_path / "runs" / "middle-1", SPEC)


@pytest.fixture
def own() -> Path:
    """The user's registry.toml, with comments and a layout of its own."""
    file = user_file()
    file.parent.mkdir(parents=True)
    file.write_text(OWN)
    return file


def _models() -> dict[str, Any]:
    models: dict[str, Any] = tomllib.loads(user_file().read_text()).get("models", {})
    return {name: entry["run"] for name, entry in models.items()}


def test_a_run_gets_a_name_that_leads_to_it(zoo: Zoo, acme: Path, run: Path) -> None:
    result = zoo("add", "runs/middle-1", "--name", "my-animals")
    assert (result.code, result.err) == (0, "")
    assert result.out.splitlines() == [
        "my-animals: acme/middle, trained on plants/ (fern, moss)",
        f"written to {user_file()}",
        "next: zoo finetune my-animals --data PATH",
    ]
    assert _models() == {"my-animals": str(run)}, "an absolute path"
    shown = zoo("show", "my-animals", "--json").document
    assert (shown["name"], shown["run"]) == ("acme/middle", str(run))


def test_the_users_own_file_keeps_everything_else(
    zoo: Zoo, acme: Path, run: Path, own: Path
) -> None:
    own.chmod(0o640)
    assert zoo("add", run, "--name", "my-animals").code == 0
    assert own.read_text() == f'{OWN}\n[models.my-animals]\nrun = "{run}"\n'
    assert stat.S_IMODE(own.stat().st_mode) == 0o640
    removed = zoo("add", "--remove", "my-animals")
    assert removed.code == 0
    assert removed.out.endswith(f"{run}\n")
    assert own.read_text() == OWN


def test_a_byte_order_mark_and_line_ends_stay(zoo: Zoo, acme: Path, run: Path, own: Path) -> None:
    given = b"\xef\xbb\xbf" + OWN.replace("\n", "\r\n").encode()
    own.write_bytes(given)
    assert zoo("add", run, "--name", "my-animals").code == 0
    added = own.read_bytes()
    assert added.startswith(given)
    assert added.count(b"\n") == added.count(b"\r\n")


def test_json_is_one_document(zoo: Zoo, acme: Path, run: Path, tmp_path: Path) -> None:
    added = zoo("add", run, "--name", "my-animals", "--json").document
    assert added == {
        "name": "my-animals",
        "run": str(run),
        "before": None,
        "file": str(user_file()),
        "backbone": "acme/middle",
        "classes": ["fern", "moss"],
        "data": "plants/",
        "metrics": {"accuracy": 0.9125, "loss": 0.5},
        "sha256": added["sha256"],
    }
    assert len(added["sha256"]) == 64
    other = made_run(tmp_path / "runs" / "middle-2", SPEC)
    again = zoo("add", other, "--name", "my-animals", "--replace", "--json").document
    assert (again["run"], again["before"]) == (str(other), str(run))
    removed = zoo("add", "--remove", "my-animals", "--json").document
    assert removed == {
        "name": "my-animals", "run": None, "before": str(other), "file": str(user_file()),
    }  # fmt: skip


def test_a_taken_name_says_by_which_run_and_replace_takes_it(
    zoo: Zoo, acme: Path, run: Path, tmp_path: Path
) -> None:
    other = made_run(tmp_path / "runs" / "middle-2", SPEC)
    zoo("add", run, "--name", "my-animals")
    result = zoo("add", other, "--name", "my-animals")
    assert result.code == 1
    assert f"Error: the name 'my-animals' is already used by the run {run}" in result.err
    assert "--replace" in result.err
    assert _models() == {"my-animals": str(run)}
    result = zoo("add", other, "--name", "my-animals", "--replace")
    assert (result.code, _models()) == (0, {"my-animals": str(other)})
    assert f"replaces {run}" in result.out


def test_the_same_run_under_the_same_name_changes_nothing(
    zoo: Zoo, acme: Path, run: Path, own: Path
) -> None:
    zoo("add", run, "--name", "my-animals")
    before = own.stat()
    assert zoo("add", run, "--name", "my-animals").code == 0
    assert own.stat().st_ino == before.st_ino
    assert zoo("add", run, "--name", "also").code == 0
    assert _models() == {"my-animals": str(run), "also": str(run)}, "a run may have two names"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "'' is not a valid name"),
        ("my animals", "is not a valid name"),
        ("a/b", "is not a valid name"),
        ("path:x", "is not a valid name"),
        (".hidden", "is not a valid name"),
        ("-x", "is not a valid name"),
        ("x" * 101, "is not a valid name"),
        ("none", "is not a valid name"),
        ("mid", "'mid' is already used by the short name of acme/middle"),
        ("mid.v1", "'mid.v1' is already used by the short name of acme/middle.v1"),
        ("large", "'large' is already used by the backbone acme/large"),
        ("small.v2", "'small.v2' is already used by the backbone acme/small.v2"),
        ("acme", "'acme' is already used by the plugin 'acme'"),
    ],
)
def test_a_name_that_cannot_be_or_is_taken_is_refused(
    zoo: Zoo, acme: Path, run: Path, name: str, message: str
) -> None:
    result = zoo("add", run, f"--name={name}")
    assert (result.code, result.out) == (1, "")
    assert f"Error: {message}" in result.err or message in result.err
    assert "such as my-" in result.err
    assert not user_file().exists()


@pytest.mark.parametrize("name", ["größe", "x", "resnet18-animals", "a.b", "A_1"])
def test_names_may_be_as_people_write_them(zoo: Zoo, acme: Path, run: Path, name: str) -> None:
    assert zoo("add", run, "--name", name).code == 0
    assert zoo("show", name, "--json").document["run"] == str(run)


def test_what_is_not_a_finished_run_is_refused(
    zoo: Zoo, acme: Path, run: Path, tmp_path: Path
) -> None:
    (run / "model.safetensors").unlink()
    stopped = made_run(tmp_path / "stopped", SPEC, finished=False)
    changed = made_run(tmp_path / "changed", SPEC)
    (changed / "model.safetensors").write_bytes(b"something else")
    for folder, message in (
        (tmp_path / "nowhere", "is not a run folder: does not exist"),
        (tmp_path, "is not a run folder: no run.json"),
        (acme, "no run.json"),
        (run, "has no model.safetensors"),
        (stopped, f"the run {stopped} is not finished"),
        (changed, "sha256"),
    ):
        result = zoo("add", folder, "--name", "my-animals")
        assert (result.code, result.out) == (1, ""), folder
        assert message in " ".join(result.err.split())
    assert not user_file().exists()


def test_a_path_that_toml_cannot_hold_is_refused(zoo: Zoo, acme: Path, tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path / "runs") + b"\xff"))
    result = zoo("add", made_run(folder, SPEC), "--name", "my-animals")
    assert result.code == 1
    assert "is not valid UTF-8" in result.err


def test_removing_a_name_that_is_not_there_names_the_closest(
    zoo: Zoo, acme: Path, run: Path
) -> None:
    zoo("add", run, "--name", "my-animals")
    result = zoo("add", "--remove", "my-animal")
    assert result.code == 1
    assert "has no run called 'my-animal'. Did you mean 'my-animals'?" in result.err
    assert "my-animals." in result.err


def test_a_name_can_be_removed_when_the_run_is_gone(zoo: Zoo, acme: Path, run: Path) -> None:
    zoo("add", run, "--name", "my-animals")
    shutil.rmtree(run)
    result = zoo("add", "--remove", "my-animals")
    assert (result.code, _models()) == (0, {})
    assert all(str(fact) in result.out for fact in ("my-animals", user_file(), run))


def test_a_nearer_file_that_has_the_name_is_reported(
    zoo: Zoo, acme: Path, run: Path, tmp_path: Path
) -> None:
    nearer = tmp_path / "registry.toml"
    nearer.write_text(f'{nearer.read_text()}\n[models.my-animals]\nrun = "elsewhere"\n')
    for arguments in ((run, "--name", "my-animals", "--replace"), ("--remove", "my-animals")):
        result = zoo("add", *arguments)
        assert result.code == 1
        assert f"{nearer}, which takes precedence over {user_file()}" in result.err
        assert "change [models.my-animals] there" in result.err
    assert not user_file().exists()


# -- the file ----------------------------------------------------------------------------------


def test_a_broken_file_is_named_and_left_as_it_is(
    zoo: Zoo, acme: Path, run: Path, own: Path
) -> None:
    for text, message in (("[aliases\n", "TOML"), ("[alias]\n", "line 1: unknown key")):
        own.write_text(text)
        result = zoo("add", run, "--name", "my-animals")
        assert result.code == 1
        assert str(own) in result.err
        assert message in result.err
        assert own.read_text() == text


def test_a_link_is_not_written_through(
    zoo: Zoo, acme: Path, run: Path, own: Path, tmp_path: Path
) -> None:
    target = tmp_path / "dotfiles.toml"
    own.rename(target)
    own.symlink_to(target)
    result = zoo("add", run, "--name", "my-animals")
    assert result.code == 1
    assert f"link to {target}" in result.err
    assert own.is_symlink()
    assert target.read_text() == OWN
    target.unlink()
    assert "symbolic link to" in zoo("add", run, "--name", "my-animals").err


def test_a_folder_that_cannot_be_written_is_an_error(
    zoo: Zoo, acme: Path, run: Path, tmp_path: Path
) -> None:
    user_file().parent.parent.write_text("a file, where the folder should be")
    result = zoo("add", run, "--name", "my-animals")
    assert result.code == 1
    assert "registry.toml cannot be written: Not a directory" in result.err
    assert "XDG_CONFIG_HOME" in result.err


def test_another_command_that_changes_the_file_is_waited_for(
    zoo: Zoo, acme: Path, run: Path, own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "LOCK_SECONDS", 0.1)
    with FileLock(own.with_name(".registry.toml.lock")):
        result = zoo("add", run, "--name", "my-animals")
        assert result.code == 1
        assert "is being changed by another command" in result.err
        assert own.read_text() == OWN
    assert zoo("add", run, "--name", "my-animals").code == 0


def test_many_commands_at_once_lose_no_name(acme: Path, run: Path, own: Path) -> None:
    names = [f"animals-{number}" for number in range(6)]
    commands = [[sys.executable, "-m", "zoo", "add", str(run), "--name", name] for name in names]
    running = [
        subprocess.Popen(c, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for c in commands
    ]
    assert [process.wait() for process in running] == [0] * len(names)
    for process in running:
        process.communicate()
    assert sorted(_models()) == names
    assert own.read_text().startswith(OWN)
    assert sorted(p.name for p in own.parent.iterdir()) == [".registry.toml.lock", "registry.toml"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Missing argument 'RUN'"),
        (["runs/x"], "Missing option '--name'"),
        (["--name", "x"], "Missing argument 'RUN'"),
        (["runs/x", "--remove", "x"], "--remove"),
        (["--remove", "x", "--replace"], "--remove"),
    ],
)
def test_wrong_usage_exits_with_2(zoo: Zoo, arguments: list[str], message: str) -> None:
    result = zoo("add", *arguments)
    assert (result.code, result.out) == (2, "")
    assert message in result.err
