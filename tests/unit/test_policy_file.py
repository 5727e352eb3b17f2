"""Changes to somebody's registry.toml: what it says changes, and nothing else."""

from __future__ import annotations

import tomllib

import pytest
import tomlkit

from zoo.errors import PolicyError
from zoo.registry.policy_file import with_run, without_run

FILES = {
    "empty": "",
    "a comment": "# mine\n",
    "no newline at the end": 'schema = 1\n[aliases]\na = "b/c"',
    "others": '# mine\nschema = 1\n\n[aliases]  # short\n  a   =   "b/c"   # odd spaces\n',
    "a run": '[models.plants]\nrun = "/p"  # the best\n\n# off\n[plugins.acme]\nenabled = false\n',
    "a table of runs": '[models]\nplants = {run = "/p"}\n# off\n[plugins.acme]\nenabled = false\n',
    "dotted": 'models.plants.run = "/p" # best\n\n[resolve]\norder = ["timm"]\n',
    "inline": 'models = {plants = {run = "/p"}} # all\n\n[resolve]\norder = ["timm"]\n',
    "an empty table of runs": "models = {}\n",
    "Windows": 'schema = 1\r\n\r\n[models.plants]\r\nrun = "/p"\r\n',
    "brackets in a text": '[aliases]\na = """\n[models.animals]\nrun = "/x"\n"""\n',
}


@pytest.mark.parametrize("text", FILES.values(), ids=FILES)
@pytest.mark.parametrize("folder", ["/runs/cnn-1", '/a b/"ü"\\n\n.'])
def test_a_run_is_added_and_taken_out_again_without_a_trace(text: str, folder: str) -> None:
    added = with_run(text, "my.animals-1", folder)
    data = tomllib.loads(text)
    wanted = {**data, "models": {**data.get("models", {}), "my.animals-1": {"run": folder}}}
    assert tomllib.loads(added) == wanted
    assert without_run(added, "my.animals-1").rstrip() == text.rstrip()
    if not text.startswith("models = {"):
        assert added.startswith(text.rstrip()), "it stands at the end"


def test_a_new_entry_looks_as_if_it_was_written_by_hand() -> None:
    assert with_run(FILES["others"], "animals", "/a") == (
        f'{FILES["others"]}\n[models.animals]\nrun = "/a"\n'
    )
    assert with_run("", "größe", "/a") == '[models."größe"]\nrun = "/a"\n'


def test_line_ends_are_kept_as_they_are() -> None:
    added = with_run(FILES["Windows"], "animals", "/a")
    assert added.endswith('\r\n\r\n[models.animals]\r\nrun = "/a"\r\n')
    assert "\n" not in added.replace("\r\n", "")


PLANTS = [name for name, text in FILES.items() if "plants" in text]


@pytest.mark.parametrize("name", PLANTS)
def test_another_folder_takes_the_place_of_the_old_one(name: str) -> None:
    assert with_run(FILES[name], "plants", "/new") == FILES[name].replace('"/p"', '"/new"')


@pytest.mark.parametrize("name", PLANTS)
def test_comments_around_a_run_that_is_taken_out_stay(name: str) -> None:
    left = without_run(FILES[name], "plants")
    assert "plants" not in left
    assert "/p" not in left
    assert tomllib.loads(left).get("plugins") == tomllib.loads(FILES[name]).get("plugins")
    if "# off" in FILES[name]:
        assert left.endswith("# off\n[plugins.acme]\nenabled = false\n")


def test_a_text_that_looks_like_a_table_is_none() -> None:
    text = f'{FILES["brackets in a text"]}\n[models.animals]\nrun = "/y"\n'
    assert without_run(text, "animals").rstrip() == FILES["brackets in a text"].rstrip()
    assert with_run(text, "animals", "/z") == text.replace('"/y"', '"/z"')


def test_an_edit_that_says_something_else_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for wrong in ("schema = 2\n", "schema = "):
        monkeypatch.setattr("zoo.registry.policy_file.tomlkit.dumps", lambda _, wrong=wrong: wrong)
        with pytest.raises(PolicyError):
            without_run(FILES["a run"], "plants")


def test_what_only_one_reader_of_toml_takes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: str) -> None:
        raise tomlkit.exceptions.ParseError(1, 1)

    monkeypatch.setattr("zoo.registry.policy_file.tomlkit.parse", refuse)
    with pytest.raises(PolicyError):
        with_run("", "plants", "/p")
