"""registry.toml: layers, and errors that name the file and the line."""

from __future__ import annotations

from pathlib import Path

import pytest

from zoo.errors import PolicyError
from zoo.policy import FILE, Policy, lay_over, load_policy, shipped_file


@pytest.fixture(autouse=True)
def _no_user_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("ZOO_PLUGINS", raising=False)
    monkeypatch.delenv("ZOO_RESOLVE_ORDER", raising=False)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


def _write(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE
    path.write_text(text, encoding="utf-8")
    return path


def test_the_shipped_file_alone_has_forty_short_names(project: Path) -> None:
    policy = load_policy(folder=project)
    assert len(policy.aliases) >= 40
    assert policy.files == (shipped_file().resolve(),)
    assert policy.aliases["resnet18"] == "torchvision/resnet18"


def test_a_later_layer_wins_line_by_line(project: Path, tmp_path: Path) -> None:
    _write(tmp_path / "config" / "zoo", '[aliases]\nresnet18 = "a/x"\nmine = "a/y"\n')
    _write(project, '[aliases]\nresnet18 = "b/z"\n')
    policy = load_policy(folder=project)
    assert policy.aliases["resnet18"] == "b/z"
    assert policy.aliases["mine"] == "a/y"
    assert policy.aliases["resnet50"] == "torchvision/resnet50"
    assert len(policy.files) == 3


def test_the_nearest_file_from_a_subfolder_up_counts_and_no_farther_one(project: Path) -> None:
    _write(project, '[aliases]\nouter = "a/x"\n')
    _write(project / "sub", '[aliases]\ninner = "a/x"\n')
    deep = project / "sub" / "deep"
    deep.mkdir()
    assert "inner" in load_policy(folder=deep).aliases
    assert "outer" not in load_policy(folder=deep).aliases


def test_the_working_directory_is_where_the_search_starts(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(project, '[resolve]\norder = ["here"]\n')
    monkeypatch.chdir(project)
    assert load_policy().order == ("here",)


def test_a_removed_working_directory_is_no_obstacle(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    project.rmdir()
    assert load_policy().aliases


def test_variables_win_over_files(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _write(project, '[resolve]\norder = ["a"]\n')
    monkeypatch.setenv("ZOO_RESOLVE_ORDER", "timm, torchvision")
    monkeypatch.setenv("ZOO_PLUGINS", "timm,hf")
    policy = load_policy(folder=project)
    assert policy.order == ("timm", "torchvision")
    assert policy.is_disabled("torchvision")
    assert not policy.is_disabled("timm")


def test_a_plugin_is_switched_off_and_on_again_by_a_later_layer(
    project: Path, tmp_path: Path
) -> None:
    user = tmp_path / "config" / "zoo"
    _write(user, "[plugins.acme]\nenabled = false\n[plugins.other]\nenabled = false\n")
    _write(project, "[plugins.acme]\nenabled = true\n[plugins.other]\n")
    policy = load_policy(folder=project)
    assert not policy.is_disabled("acme")
    assert policy.is_disabled("other"), "a table that says nothing changes nothing"


def test_a_run_is_found_relative_to_its_file(project: Path) -> None:
    _write(project, '[models.my-plants]\nrun = "runs/resnet18-1"\n')
    assert load_policy(folder=project).runs["my-plants"] == project / "runs" / "resnet18-1"


def test_a_pin_is_kept_in_lower_case(project: Path) -> None:
    _write(project, f'[weights."torchvision/resnet18"]\nsha256 = "{"AB" * 32}"\n')
    assert load_policy(folder=project).pins == {"torchvision/resnet18": "ab" * 32}


def test_a_byte_order_mark_is_no_error(project: Path) -> None:
    (project / FILE).write_bytes(b'\xef\xbb\xbf[aliases]\na = "b/c"\n')
    assert load_policy(folder=project).aliases["a"] == "b/c"


@pytest.mark.parametrize(
    ("text", "line", "message", "hint"),
    [
        ("schema = 1\n[alias]\n", 2, "unknown key 'alias'", "Did you mean 'aliases'?"),
        ("[resolve]\n\nordre = []\n", 3, "unknown key 'ordre'", "Did you mean 'order'?"),
        ("[resolve]\norder = 'timm'\n", 2, "'order' must be a list", "order = 'timm'"),
        ("[resolve]\norder = [1]\n", 2, "'order' must be a list", "[1]"),
        ("[aliases]\na = 'b/c'\nb = 3\n", 3, "'b' must be a string", "b = 3"),
        ("aliases = 3\n", 1, "'aliases' must be a table", "aliases = 3"),
        ("[plugins.a]\nenabled = true\n[plugins.b]\nenabled = 1\n", 4, "true or false", "1"),
        ("[plugins]\na.enabled = 'no'\n", 2, "true or false", "no"),
        ("[plugins.a]\nenabled = true\n[models.x]\nenabled = true\n", 4, "'enabled'", "run"),
        ("[plugins.a]\nenabled = true\n[models.x]\n", 3, "'run' is missing", "Add run"),
        ('[weights."a/b.c"]\nsha256 = "12"\n', 2, "64 hexadecimal digits", "sha256sum"),
        ("schema = true\n", 1, "'schema' must be a whole number", "True"),
    ],
)
def test_what_cannot_be_names_the_file_and_the_line(
    project: Path, text: str, line: int, message: str, hint: str
) -> None:
    path = _write(project, text)
    with pytest.raises(PolicyError) as caught:
        load_policy(folder=project)
    assert caught.value.message.startswith(f"{path}, line {line}: ")
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_a_later_schema_asks_for_an_upgrade(project: Path) -> None:
    _write(project, "schema = 2\nnew = 1\n")
    with pytest.raises(PolicyError, match="has schema 2") as caught:
        load_policy(folder=project)
    assert "pip install -U zoo" in caught.value.hint


@pytest.mark.parametrize(
    ("content", "message"), [(b"[aliases\n", "is not TOML"), (b"a = '\xff'\n", "is not UTF-8")]
)
def test_a_file_that_cannot_be_parsed_is_named(project: Path, content: bytes, message: str) -> None:
    (project / FILE).write_bytes(content)
    with pytest.raises(PolicyError, match=message) as caught:
        load_policy(folder=project)
    assert str(project / FILE) in caught.value.message


def test_a_file_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="cannot be read: Is a directory") as caught:
        lay_over(Policy(), tmp_path)
    assert str(tmp_path) in caught.value.message


def test_another_programs_registry_toml_is_ignored_with_a_warning(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "registry.toml").write_text('[servers]\nindex = "https://example.org"\n')
    with pytest.warns(UserWarning, match="is ignored: it says nothing of zoo's"):
        policy = load_policy(folder=tmp_path / "deep")
    assert tmp_path / "registry.toml" not in policy.files
    assert policy.order
