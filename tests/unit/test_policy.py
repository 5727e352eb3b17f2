"""registry.toml: layers, and errors that name the file and the line."""

from __future__ import annotations

from pathlib import Path

import pytest

from zoo.errors import PolicyError
from zoo.registry.policy import FILE, Policy, apply_file, load_policy, shipped_file, user_file


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
        ("[plugins.a]\nenabled = true\n[models.x]\n", 3, "'run' is missing", "run ="),
        ('[weights."a/b.c"]\nsha256 = "12"\n', 2, "64 hexadecimal digits", "sha256sum"),
        ("schema = true\n", 1, "'schema' must be an integer", "True"),
    ],
)
def test_an_invalid_entry_names_the_file_and_the_line(
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
    assert "pip install -U zoo-finetune" in caught.value.hint


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"[aliases\n", "TOML"), (b"[aliases]\na = '\xff'\n", "UTF-8")],
)
def test_a_file_that_cannot_be_parsed_is_named(project: Path, content: bytes, message: str) -> None:
    (project / FILE).write_bytes(content)
    with pytest.raises(PolicyError, match=message) as caught:
        load_policy(folder=project)
    assert str(project / FILE) in caught.value.message


def test_a_file_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="cannot be read: Is a directory") as caught:
        apply_file(Policy(), tmp_path)
    assert str(tmp_path) in caught.value.message


FOREIGN = {
    "a table": ('[servers]\nindex = "https://example.org"\n', "'servers'"),
    "other plugins": ('[plugins.lint]\npath = "x"\n', "[plugins.lint] has no 'enabled'"),
    "more of plugins": (
        '[plugins.lint]\nenabled = true\npath = "x"\n',
        "[plugins.lint] has more than 'enabled'",
    ),
    "other models": ('[models.gpt]\nprovider = "acme"\n', "[models.gpt] has no 'run'"),
    "names of models": ('[models]\ngpt = "acme-4"\n', "'gpt' in [models] is not a table"),
    "tables in a list": ('[[plugins]]\nname = "lint"\n', "'plugins' is a list"),
    "another order": ('[resolve]\nextensions = ["ts"]\n', "[resolve] has no 'order'"),
    "aliases beside it": ('[aliases]\nll = "ls -l"\n[tools]\nnode = "20"\n', "'tools'"),
    "not TOML": ("servers:\n  - a\n", "not valid TOML"),
    "TOML that is broken": (
        "[servers]\na = \n[plugins.lint]\npath = 1\n",
        "not valid TOML",
    ),
    "bytes": ("\x00\x01", "not valid TOML"),
}


@pytest.mark.parametrize(("text", "reason"), FOREIGN.values(), ids=FOREIGN)
def test_another_programs_registry_toml_is_ignored_with_one_line_and_the_next_is_used(
    project: Path, text: str, reason: str
) -> None:
    own = _write(project, '[aliases]\nmine = "torchvision/resnet18"\n')
    (project / "deep" / "er").mkdir(parents=True)
    (project / "deep" / FILE).write_text(text)
    with pytest.warns(UserWarning, match="is ignored") as told:
        policy = load_policy(folder=project / "deep" / "er")
    (line,) = [str(warning.message) for warning in told]
    assert line.startswith(f"{project / 'deep' / FILE} is ignored")
    assert reason in line
    assert "'schema = 1'" in line
    assert policy.files[-1] == own.resolve()
    assert policy.aliases["mine"] == "torchvision/resnet18"


OWN = {
    "schema": ("schema = 1\n[servers]\na = 1\n", "line 2: unknown key 'servers'"),
    "a run": ("[models.a]\nrun = 'x'\n[servers]\na = 1\n", "line 3: unknown key 'servers'"),
    "a run with more": ("[models.a]\nrun = 'x'\ntag = 1\n", "line 3: unknown key 'tag'"),
    "a misspelt run": ("[models.a]\nrnu = 'x'\n", "line 2: unknown key 'rnu'"),
    "a misspelt switch": ("[plugins.timm]\nenabeld = true\n", "line 2: unknown key 'enabeld'"),
    "a misspelt pin": ("[weights.'a/b']\nsha265 = 'x'\n", "line 2: unknown key 'sha265'"),
    "a misspelt table": ("[modles.a]\nrun = 'x'\n", "line 1: unknown key 'modles'"),
    "an alias": ("[aliases]\na = 'b/c'\n[pins]\n", "line 3: unknown key 'pins'"),
    "not TOML": ("[plugins.timm]\nenabled = \n", "TOML"),
}


@pytest.mark.parametrize(("text", "message"), OWN.values(), ids=OWN)
def test_what_is_wrong_in_zoos_own_file_stays_an_error(
    project: Path, text: str, message: str
) -> None:
    path = _write(project, text)
    with pytest.raises(PolicyError) as caught:
        load_policy(folder=project)
    assert caught.value.message.startswith(str(path))
    assert message in caught.value.message


def test_in_the_users_own_folder_nothing_is_another_programs(tmp_path: Path) -> None:
    user_file().parent.mkdir(parents=True, exist_ok=True)
    user_file().write_text("[servers]\na = 1\n")
    with pytest.raises(PolicyError, match=r"1.*'servers'"):
        load_policy(folder=tmp_path)


def test_a_file_of_another_user_that_cannot_be_read_is_ignored(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _write(project, "schema = 1\n")

    def refused(_: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patched:
        patched.setattr("zoo.registry.policy.read_small", refused)
        patched.setattr("os.geteuid", lambda: path.stat().st_uid + 1)
        patched.setattr("zoo.registry.policy.shipped_file", lambda: Path("/nowhere"))
        with pytest.warns(UserWarning, match="Permission denied"):
            assert load_policy(folder=project).files == ()
