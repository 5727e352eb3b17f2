"""Shell completion: in a real bash, through click's protocol, and without torch."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.shell_completion import BashComplete, CompletionItem

from tests.cli.conftest import ACME, Zoo
from tests.cli.test_cli_frame import HEAVY
from tests.made_runs import made_run
from zoo import BackboneSpec, ImageInput
from zoo.cli import cli, completion

SPEC = BackboneSpec(
    name="basics/cnn",
    modality="image",
    feature_dim=8,
    params=9,
    input=ImageInput(),
    loader="zoo_basics.cnn:load",
)


OFFERS = """
zoo_heads = zoo.hookimpl(lambda: {"tiny": "nowhere:head", "mlp": "nowhere:head"})
zoo_losses = zoo.hookimpl(lambda: {"acme-loss": "nowhere:loss"})


@zoo.hookimpl
def zoo_metrics():
    raise OSError("the disk is full")
"""


def items(line: str) -> list[CompletionItem[str]]:
    """What is offered at the end of ``line``, of which the last word is being typed."""
    *words, incomplete = line.split(" ")
    return BashComplete(cli, {}, "zoo", "_ZOO_COMPLETE").get_completions(words, incomplete)


def words(line: str) -> list[str]:
    return [item.value for item in items(line)]


@pytest.fixture
def asked(zoo: Zoo) -> Zoo:
    """The index is there: some command has asked the plugins before."""
    assert zoo("list").code == 0
    return zoo


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("finetune ", ["resnet18", "minilm", "cnn", "timm/", "hf/"]),
        ("show resnet1", ["resnet18", "resnet10t", "resnet152"]),
        ("show hf/google/", ["hf/google/electra-small-discriminator"]),
        ("show timm/resnet18.a", ["timm/resnet18.a1_in1k", "timm/resnet18.a2_in1k"]),
        ("download cnn resnet18.", ["resnet18.IMAGENET1K_V1"]),
        ("list dinov2", ["dinov2_small"]),
        ("sync ", ["basics", "hf", "timm", "torchvision"]),
        ("check t", ["timm", "torchvision", "tresnet_m"]),
        ("list --plugin t", ["timm", "torchvision"]),
        ("--no-plugin b", ["basics"]),
        ("finetune resnet50 --weights ", ["auto", "none", "IMAGENET1K_V2"]),
        ("finetune --strategy ", ["probe", "two-stage", "lora", "loha"]),
        ("finetune --strategy basics/l", ["basics/loha", "basics/lokr"]),
        ("finetune resnet18 --schedule c", ["cosine", "constant"]),
        ("finetune resnet18 --head ", ["linear", "mlp"]),
        ("finetune resnet18 --freeze-u", ["--freeze-until"]),
        ("pre", ["predict"]),
        ("completion ", ["bash", "zsh", "fish"]),
    ],
)
def test_what_fits_is_offered(asked: Zoo, line: str, offered: list[str]) -> None:
    found = words(line)
    assert set(offered) <= set(found)
    assert all(word.startswith(line.rpartition(" ")[2]) for word in found)


def test_a_lone_prefix_is_followed_by_what_is_in_it(asked: Zoo) -> None:
    assert words("show basic") == ["basics/cnn", "basics/lstm"]


def test_names_that_plugins_offer_come_from_the_index(
    zoo: Zoo, install: Callable[..., Path]
) -> None:
    module = install("acme", ACME + OFFERS)
    assert "tiny" not in words("finetune --head ")  # before any command
    assert zoo("list").code == 0
    assert module.stem in sys.modules
    sys.modules.pop(module.stem)
    assert words("finetune --head ") == ["linear", "mlp", "tiny", "acme/mlp"]
    assert words("finetune --head acme/") == ["acme/tiny", "acme/mlp"]
    assert "acme-loss" in words("finetune --loss ")
    assert words("finetune --metric acme-") == []  # its hook fails
    assert module.stem not in sys.modules


def test_the_words_known_beforehand_are_the_zoos() -> None:
    from zoo.engine.heads import HEADS
    from zoo.engine.strategies import STRATEGIES
    from zoo.export.exporters import EXPORTERS
    from zoo.modalities.augmentations import AUGMENTATIONS

    assert tuple(STRATEGIES) == completion.STRATEGIES
    assert tuple(HEADS) == completion.HEADS
    assert tuple(EXPORTERS) == completion.FORMATS
    assert set(AUGMENTATIONS) <= set(completion.AUGMENTATIONS)


def test_published_runs_are_names(asked: Zoo, tmp_path: Path) -> None:
    made_run(tmp_path / "runs" / "cnn-1", SPEC)
    assert asked("add", "runs/cnn-1", "--name", "my-ferns").code == 0
    assert words("finetune my") == ["my-ferns"]
    assert words("predict my") == ["my-ferns"]


def test_runs_are_those_that_the_command_can_take(asked: Zoo, tmp_path: Path) -> None:
    made_run(tmp_path / "runs" / "cnn-1", SPEC)
    made_run(tmp_path / "runs" / "cnn-2", SPEC, finished=False)
    made_run(tmp_path / "other" / "deep" / "cnn-3", SPEC)
    made_run(tmp_path / "runs" / "two words", SPEC)  # a shell would take it for two
    (tmp_path / "photos").mkdir()
    for command in ("predict", "evaluate", "rerun", "add"):
        assert words(f"{command} ") == ["runs/cnn-1", "other/deep/cnn-3"], command
    assert words("predict ./runs/c") == ["./runs/cnn-1"]
    assert words(f"predict {tmp_path}/other/") == [f"{tmp_path}/other/deep/cnn-3"]
    assert words("finetune --resume ") == ["runs/cnn-2"]
    assert [(item.type, item.value) for item in items("predict ph")] == [("dir", "ph")]
    assert [item.type for item in items("predict runs/cnn-1 ")] == ["file"]


def test_runs_are_not_looked_for_without_end(
    asked: Zoo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_run(tmp_path / "a" / "cnn-1", SPEC)
    monkeypatch.setattr(completion, "RUN_ENTRIES", 0)
    assert [item.type for item in items("predict ")] == ["dir"]


def test_stages_are_known_once_zoo_show_has_built_the_backbone(asked: Zoo) -> None:
    assert words("finetune cnn --freeze-until ") == []
    assert asked("show", "cnn").code == 0
    stages = words("finetune cnn --freeze-until ")
    shown = asked("show", "cnn", "--json").document["stages"]
    assert stages == [stage["name"] for stage in shown]
    assert words("finetune basics/cnn --epochs 2 --freeze-until ") == stages
    assert words("show cnn --freeze-until ") == stages
    assert words("finetune lstm --freeze-until ") == []
    layers = words("finetune cnn --freeze ")
    assert set(stages) < set(layers)
    assert words("finetune cnn --unfreeze ") == layers


def test_what_is_broken_offers_nothing_and_says_nothing(asked: Zoo, tmp_path: Path) -> None:
    (tmp_path / "registry.toml").write_text("[alias]\n")
    assert words("show res") == []
    assert words("finetune cnn --freeze-until ") == []


def test_no_plugin_is_imported(zoo: Zoo, acme: Path) -> None:
    acme.write_text("raise SystemExit('imported')\n")
    assert words("show acme/") == []
    assert words("sync ac") == ["acme"]


@pytest.mark.parametrize("shell", completion.SHELLS)
def test_the_script_is_clicks_own(zoo: Zoo, shell: str) -> None:
    printed = zoo("completion", shell)
    assert printed.code == 0
    assert f"_ZOO_COMPLETE={shell}_complete" in printed.out
    assert zoo("completion", shell, "--json").document["script"].strip() == printed.out.strip()
    if shutil.which(shell):
        checked = subprocess.run([shell, "-n"], input=printed.out, text=True, capture_output=True)
        assert checked.returncode == 0, checked.stderr


def test_an_unknown_shell_is_wrong_usage(zoo: Zoo) -> None:
    result = zoo("completion", "tcsh")
    assert result.code == 2
    assert "'tcsh' is not one of 'bash', 'zsh', 'fish'" in result.err


@pytest.mark.skipif(not shutil.which("bash"), reason="no bash is installed")
def test_a_real_bash_completes(asked: Zoo, tmp_path: Path) -> None:
    binary = tmp_path / "bin" / "zoo"
    binary.parent.mkdir()
    binary.write_text(f'#!/bin/sh\nexec {sys.executable} -m zoo "$@"\n')
    binary.chmod(0o755)
    made_run(tmp_path / "runs" / "cnn-1", SPEC)
    script = r"""
set -eu
eval "$(zoo completion bash)"
complete -p zoo
typed() {
    COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
    _zoo_completion zoo
    printf '%s|' "${COMPREPLY[@]}"; echo
}
typed zoo finetune res
typed zoo predict ru
typed zoo finetune cnn --strategy t
"""
    environment = {**os.environ, "PATH": f"{binary.parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "--norc", "-c", script], capture_output=True, text=True, env=environment
    )
    assert (done.returncode, done.stderr) == (0, "")
    registered, names, runs, strategies = done.stdout.splitlines()
    assert registered == "complete -o nosort -F _zoo_completion zoo"
    assert "resnet18" in names.split("|")
    assert runs == "runs/cnn-1|"
    assert strategies == "two-stage|"


@pytest.mark.parametrize("line", ["zoo show timm/", "zoo finetune cnn --freeze-until "])
def test_a_completion_takes_less_than_a_third_of_a_second_and_no_torch(
    asked: Zoo, line: str
) -> None:
    asked("show", "cnn")
    code = f"""
import json, sys
from zoo.cli import main
try:
    main()
finally:
    print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)
"""
    asks = {
        "_ZOO_COMPLETE": "bash_complete",
        "COMP_WORDS": line,
        "COMP_CWORD": str(line.count(" ")),
    }
    taken = []
    for _ in range(2):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, **asks}
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert (done.returncode, done.stderr.strip()) == (0, "[]")
        assert done.stdout.startswith("plain,")
        taken.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(taken) < 0.3, f"seconds of a processor: {json.dumps(taken)}"
