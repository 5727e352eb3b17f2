"""A user's own network, without a plugin: fine-tuned, reopened, resumed, refused."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import nn

import zoo
from tests.end_to_end.conftest import Zoo
from tests.end_to_end.forked import Forked
from tests.end_to_end.test_resume import StopsAt
from zoo.engine.progress import Quiet
from zoo.errors import ContractError, RunError, Stopped, UsageError
from zoo.system.paths import config_folder

SOURCE = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3)
        self.bn = nn.BatchNorm2d(width)
        self.fc = nn.Linear(width, 7)

    def forward(self, x):
        return self.fc(self.bn(self.conv(x)).relu().mean((2, 3)))

def build_net():
    return Net()

def pretrained():
    net = Net(4)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        nn.init.normal_(net.conv.weight)
    return net

def features(net, batch):
    return net(batch["pixel_values"])

def wrapped():
    import zoo
    return zoo.wrap(pretrained, input=zoo.ImageInput(size=16), head="fc")

def wrapped_random():
    import zoo
    return zoo.wrap(Net, input=zoo.ImageInput(size=16), head="fc")

kept = []

def wrapped_before():
    import zoo
    if not kept:
        kept.append(zoo.wrap(pretrained, input=zoo.ImageInput(size=16)))
    return kept[0]

def headless():
    import zoo
    return zoo.wrap(Net, head="classifier")
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "my_file.py"
    path.write_text(SOURCE)
    return path


class Wide(nn.Module):
    """Of a class that needs an argument, so that nobody can make it again."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, width, 3), nn.Linear(width, 7)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.fc(self.conv(x).relu().mean((2, 3)))
        return logits


def trained(backbone: object, photos: Path, output: Path, **options: object) -> zoo.Run:
    quick = {"epochs": 1, "image_size": 16, "workers": 0, "report": False, "reporter": Quiet()}
    return zoo.finetune(backbone, photos, output=output, **quick | options)  # type: ignore[arg-type]


def image(photos: Path) -> Path:
    return next(photos.rglob("*.png"), None) or next(p for p in photos.rglob("*") if p.is_file())


def test_a_file_is_named_once_and_its_runs_open_until_it_changes(
    source: Path, photos: Path, tmp_path: Path, zoo_cli: Zoo
) -> None:
    run, quick = tmp_path / "run", ("--epochs", 1, "--image-size", 16, "--no-report")
    done = zoo_cli("finetune", f"{source}:build_net", "--data", photos, "--output", run, *quick)
    assert done.code == 0, done.err
    assert "weights    none (random initialisation)" in done.err
    assert "8 features" in done.err
    network = json.loads((run / "run.json").read_text())["network"]
    assert (network["file"], network["name"], network["head"]) == (str(source), "build_net", "fc")
    assert (
        zoo_cli("predict", run, image(photos), "--json").json[0]["label"]
        in zoo.open_run(run).classes
    )
    source.write_text(SOURCE + "\nraise SystemExit('executed')\n")
    refused = zoo_cli("predict", run, image(photos))
    assert refused.code == 1
    assert f"--network {source}:build_net" in refused.err
    source.write_text(SOURCE + "\n# a comment\n")
    with pytest.warns(UserWarning, match="differs from the code"):
        zoo.open_run(run, network=f"{source}:build_net").load()


def test_the_file_of_a_strangers_run_is_not_executed(
    source: Path, photos: Path, tmp_path: Path
) -> None:
    folder = trained(f"{source}:build_net", photos, tmp_path / "run").folder
    evil = tmp_path / "evil.py"
    evil.write_text(f"open({str(tmp_path / 'executed')!r}, 'w')\n{SOURCE}")
    record = json.loads((folder / "run.json").read_text())
    for change in ({"file": str(evil)}, {"name": "pretrained"}, {"module": "my_file"}):
        (folder / "run.json").write_text(
            json.dumps({**record, "network": {**record["network"], **change}})
        )
        with pytest.raises(RunError, match="not executed"):
            zoo.open_run(folder).load()
    assert not (tmp_path / "executed").exists()
    (folder / "run.json").write_text(json.dumps({**record, "network": {"head": "fc"}}))
    with pytest.raises(RunError, match=r"damaged|has no"):
        zoo.open_run(folder).load()


def test_training_starts_from_the_values_of_a_module_which_stays_as_it_is(
    photos: Path, tmp_path: Path
) -> None:
    net = Wide(6)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    backbone = zoo.wrap(net, input=zoo.ImageInput(size=16), head="fc")
    assert (backbone.spec.feature_dim, [s.name for s in backbone.stages()]) == (6, ["conv"])
    run = trained(backbone, photos, tmp_path / "run", strategy="probe")
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())
    kept = run.load().native_state_dict()
    assert torch.equal(kept["conv.weight"], before["conv.weight"])  # a probe leaves it
    assert not torch.equal(kept["fc.weight"][:, :1], before["fc.weight"][: len(run.classes), :1])
    label = run.predict([image(photos)])[0]
    with pytest.raises(RunError, match="'Wide'") as told:
        zoo.open_run(run.folder).predict([image(photos)])
    assert "network" in told.value.hint
    for again in (Wide(6), lambda: Wide(6), zoo.wrap(Wide(6), input=zoo.ImageInput(size=16))):
        assert zoo.open_run(run.folder, network=again).predict([image(photos)])[0] == label
    with pytest.raises(RunError, match="of another shape"):
        zoo.open_run(run.folder, network=Wide(5)).load()
    with pytest.raises(UsageError, match="got int"):
        zoo.open_run(run.folder, network=5).load()  # type: ignore[arg-type]


def test_changes_of_a_wrapped_network_are_what_training_starts_from(
    photos: Path, tmp_path: Path, source: Path
) -> None:
    backbone = zoo.wrap(f"{source}:build_net", input=zoo.ImageInput(size=16), head="fc")
    with torch.no_grad():
        backbone.net.conv.weight.fill_(0.5)  # type: ignore[union-attr, operator]
    backbone.freeze("bn")
    run = trained(backbone, photos, tmp_path / "run", strategy="full", lr=1e-12, weight_decay=0)
    state = run.load().native_state_dict()
    assert torch.allclose(state["conv.weight"], torch.tensor(0.5), atol=1e-6)
    assert "bn.weight" in run.record["recipe"]["freeze"]


def test_a_function_that_wraps_is_called_once_to_open_a_run(
    source: Path, photos: Path, tmp_path: Path
) -> None:
    made = tmp_path / "made"
    source.write_text(
        SOURCE.replace(
            "super().__init__()", f"open({str(made)!r}, 'a').write('.')\n        super().__init__()"
        )
    )
    for name in ("wrapped", "wrapped_before"):
        run = trained(f"{source}:{name}", photos, tmp_path / name, strategy="probe")
        made.write_text("")
        opened = zoo.open_run(run.folder)
        assert opened.predict([image(photos)]) == run.predict([image(photos)])
        assert made.read_text() == "."
    with pytest.raises(ContractError, match=r"no module 'classifier'.*Closest: fc"):
        zoo.wrap(f"{source}:headless")


@pytest.mark.slow(0.2)
@pytest.mark.parametrize("name", ["pretrained", "wrapped"])
def test_a_stopped_run_resumes_to_the_same_bytes(
    source: Path, photos: Path, tmp_path: Path, name: str
) -> None:
    options = {"epochs": 2, "batch_size": 16, "strategy": "full"}
    whole = trained(f"{source}:{name}", photos, tmp_path / "whole", **options)
    assert whole.record["weights"]["tag"] == "own"  # the values do not depend on a seed
    with pytest.raises(Stopped):
        trained(f"{source}:{name}", photos, tmp_path / "run", **options, reporter=StopsAt(6))
    assert (tmp_path / "run" / "last" / "start.safetensors").is_file()
    run = zoo.resume(tmp_path / "run", reporter=Quiet(), report=False)
    assert run.record["sha256"] == whole.record["sha256"]
    assert run.load() is not None
    assert zoo.open_run(tmp_path / "run").load() is not None


@pytest.mark.slow
def test_a_stopped_run_of_an_object_resumes_from_the_values_that_it_had(
    photos: Path, tmp_path: Path, source: Path
) -> None:
    net = Wide(6)
    options = {"epochs": 2, "batch_size": 16, "strategy": "full"}
    whole = trained(zoo.wrap(net), photos, tmp_path / "whole", **options)
    with pytest.raises(Stopped) as stopped:
        trained(zoo.wrap(net), photos, tmp_path / "run", **options, reporter=StopsAt(6))
    assert f"zoo.resume({str(tmp_path / 'run')!r}, network=…)" in stopped.value.hint
    with pytest.raises(RunError, match="'Wide'"):
        zoo.resume(tmp_path / "run", reporter=Quiet(), report=False)
    run = zoo.resume(tmp_path / "run", network=Wide(6), reporter=Quiet(), report=False)
    assert run.record["sha256"] == whole.record["sha256"]
    assert run.load() is not None  # though the values that it started with are removed

    with pytest.raises(Stopped):
        trained(f"{source}:build_net", photos, tmp_path / "file", **options, reporter=StopsAt(6))
    source.write_text(SOURCE.replace("relu", "sigmoid"))
    with pytest.warns(UserWarning, match="differs"), pytest.raises(RunError, match="has changed"):
        zoo.resume(tmp_path / "file", network=f"{source}:build_net", reporter=Quiet())


def test_weights_none_starts_from_random_values_and_a_path_is_loaded(
    source: Path, photos: Path, tmp_path: Path
) -> None:
    own = zoo.wrap(f"{source}:pretrained", input=zoo.ImageInput(size=16))
    random = trained(own, photos, tmp_path / "random", weights="none", strategy="probe")
    assert random.record["weights"] is None
    start = own.native_state_dict()["conv.weight"]
    assert not torch.equal(random.load().native_state_dict()["conv.weight"], start)
    told = trained(own, photos, tmp_path / "told", weights=str(random.folder), strategy="probe")
    assert torch.equal(
        told.load().native_state_dict()["conv.weight"],
        random.load().native_state_dict()["conv.weight"],
    )
    with pytest.raises(UsageError, match="cannot initialise scale"):
        trained(zoo.wrap(Scaled()), photos, tmp_path / "scaled", weights="none")


class Scaled(Wide):
    """With a parameter outside any layer."""

    def __init__(self) -> None:
        super().__init__(4)
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x * self.scale)


def _in_meta() -> nn.Module:
    with torch.device("meta"):
        return Wide(4)


class Flat(nn.Sequential):
    """Takes one size."""

    def __init__(self, *last: nn.Module) -> None:
        super().__init__(nn.Flatten(), nn.Linear(768, 9), nn.ReLU(), nn.Linear(9, 5), *last)


@pytest.mark.parametrize(
    ("network", "options", "words"),
    [
        (Wide(4), {"head": "fd"}, "no module 'fd'. Closest: fc"),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten()), {}, "no linear layer"),
        (Flat(nn.Softmax(-1)), {"head": "3"}, "are not those of its head"),
        (Flat(), {"head": "1"}, "without its head '1' failed"),
        (Flat(), {"input": zoo.ImageInput(size=20)}, "failed on a batch of pixel_values"),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.Linear(14, 2)), {}, "expected features"),
        (torch.nn.DataParallel(Wide(4)), {}, "inside DataParallel"),
        (_in_meta(), {}, "parameters without values"),
        (nn.Identity(), {}, "no parameters"),
        (5, {}, "got int"),
        (lambda: 5, {}, "returned int"),
        (lambda: 1 / 0, {}, "ZeroDivisionError"),
        ("nothing.py:build_net", {}, "does not exist"),
        (Wide(4), {"input": 224}, "input= must be a zoo.ImageInput"),
        (Wide(4), {"head": nn.Linear(4, 7)}, "head= must be the path of a module, got Linear"),
        ("nothing_here.at_all:build_net", {}, "cannot be imported"),
        ("build_net", {}, "does not name a function"),
    ],
)
def test_what_cannot_be_wrapped_is_reported(network: object, options: dict, words: str) -> None:
    plain = {"input": zoo.ImageInput(size=16)}
    with pytest.raises((ContractError, UsageError)) as told:
        zoo.wrap(network, **plain | options)  # type: ignore[arg-type]
    assert words in told.value.message
    assert told.value.hint


def test_special_modules_are_reported() -> None:
    traced = torch.jit.trace(Wide(4).eval(), torch.zeros(1, 3, 16, 16))
    quantized = torch.ao.quantization.quantize_dynamic(Wide(4))
    locked = Wide(4)
    locked.stream = open(__file__)  # type: ignore[assignment]  # noqa: SIM115
    compiled = torch._dynamo.eval_frame.OptimizedModule(Wide(4), lambda fn: fn)
    for network, words in (
        (traced, "TorchScript"),
        (quantized, "quantized"),
        (locked, "cannot be copied"),
        (compiled, "_orig_mod"),
    ):
        with pytest.raises(UsageError) as told:
            zoo.wrap(network)
        assert words in str(told.value)
    locked.stream.close()  # type: ignore[union-attr, operator]


def test_what_finetune_is_given_instead_is_reported(
    source: Path, photos: Path, tmp_path: Path, zoo_cli: Zoo
) -> None:
    with pytest.raises(UsageError, match="a backbone of basics/cnn was given"):
        trained(zoo.load("cnn"), photos, tmp_path / "run")
    flat = zoo.wrap(Flat(), input=zoo.ImageInput(size=16))
    assert flat.spec.image_input.fixed_size
    with pytest.raises(UsageError, match="takes images of 16 pixels"):
        trained(flat, photos, tmp_path / "run", image_size=32)
    with pytest.raises(UsageError, match=r"there is no 'build_nett'.*Did you mean 'build_net'"):
        trained(f"{source}:build_nett", photos, tmp_path / "run")
    refused = zoo_cli("finetune", f"{source}:build_net", "--network", f"{source}:build_net")
    assert "no effect without --resume" in refused.err
    plugins = trained("cnn", photos, tmp_path / "cnn")
    with pytest.raises(UsageError, match="basics/cnn, so network has no effect"):
        zoo.open_run(plugins.folder, network=Wide(4)).load()
    assert not (tmp_path / "run").exists()


def test_a_run_of_an_own_network_is_not_published_by_its_folder(
    source: Path, photos: Path, tmp_path: Path, zoo_cli: Zoo
) -> None:
    run = trained(f"{source}:build_net", photos, tmp_path / "run")
    refused = zoo_cli("add", run.folder, "--name", "mine")
    assert refused.code == 1
    assert "does not come from a plugin" in refused.err
    pushed = zoo.push_run(run, "hf:acme/mine", dry_run=True)
    assert str(tmp_path) not in json.dumps(pushed.to_json())


def test_own_extract_and_stages_are_found_again(
    source: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(source.parent)
    shutil.copy(source, source.with_name("own_nets.py"))
    import own_nets  # type: ignore[import-not-found]

    backbone = zoo.wrap(
        own_nets.build_net,
        input=zoo.ImageInput(size=16),
        head="fc",
        stages={"all": ["conv", "bn"]},
        extract=own_nets.features,
    )
    run = trained(backbone, photos, tmp_path / "run", freeze_until="all")
    again = zoo.open_run(run.folder)
    assert [stage.paths for stage in again.load().stages()] == [("conv", "bn")]
    assert again.predict([image(photos)]) == run.predict([image(photos)])

    foreign = zoo.wrap(own_nets.build_net, extract=lambda net, batch: net(batch["pixel_values"]))
    run = trained(foreign, photos, tmp_path / "foreign")
    with pytest.raises(RunError, match="cannot be imported again"):
        zoo.open_run(run.folder).load()
    with pytest.raises(RunError, match="as extract="):
        zoo.open_run(run.folder, network=own_nets.Net()).load()
    monkeypatch.delitem(sys.modules, "own_nets")
    (elsewhere := tmp_path / "elsewhere").mkdir()
    (elsewhere / "own_nets.py").write_text("")
    monkeypatch.syspath_prepend(elsewhere)
    import own_nets

    with pytest.raises(UsageError, match="is another file here"):
        zoo.open_run(tmp_path / "run").load()


@pytest.mark.slow
@pytest.mark.parametrize(
    "commands",
    [
        ["predict"],
        pytest.param(
            ["predict", "evaluate", "export", "embed", "recommend"], marks=pytest.mark.long
        ),
    ],
)
def test_a_new_process_predicts_exports_and_repeats(
    source: Path, photos: Path, tmp_path: Path, commands: list[str]
) -> None:
    def typed(*arguments: object) -> tuple[str, str]:
        process = Forked(*arguments, cwd=tmp_path)
        out, err = process.communicate(timeout=300)
        assert process.returncode == 0, (arguments, err)
        return out, err

    quick = ("--epochs", 1, "--image-size", 16, "--no-report", "--workers", 0, "--output", "run")
    _, err = typed("finetune", "my_file.py:pretrained", "--data", photos, *quick)
    assert "own (my_file.py:pretrained)" in err
    for arguments in (
        ("predict", "run", image(photos)),
        ("evaluate", "run", "--data", photos),
        ("export", "run", "--format", "onnx"),
        ("embed", "my_file.py:pretrained", photos, "--output", "own.npy"),
        ("recommend", photos, "my_file.py:pretrained"),
    ):
        if arguments[0] in commands:
            typed(*arguments)
    out, err = typed("rerun", "run", "--output", "again")
    assert "identical, byte for byte" in out, err


@pytest.mark.slow(0.1)
def test_lora_on_an_own_network_is_saved_whole(photos: Path, tmp_path: Path, source: Path) -> None:
    run = trained(f"{source}:pretrained", photos, tmp_path / "run", strategy="lora")
    assert (run.folder / "model.safetensors").is_file()
    assert zoo.open_run(run.folder).predict([image(photos)]) == run.predict([image(photos)])


@pytest.mark.slow(0.2)
def test_own_networks_are_ranked_and_embedded(photos: Path, tmp_path: Path, source: Path) -> None:
    own = zoo.wrap(f"{source}:pretrained", input=zoo.ImageInput(size=16))
    random = zoo.wrap(f"{source}:build_net", input=zoo.ImageInput(size=16))
    typed = f"{source}:pretrained"
    ranking = zoo.recommend(photos, [own, Wide(4), Wide(4), random, typed], workers=0)
    assert {row.name for row in ranking.ranked} == {"pretrained", "Wide", "Wide (2)", typed}
    assert [(one.name, one.reason) for one in ranking.left_out] == [
        ("build_net", "its values are random")
    ]
    written = zoo.embed(own, photos, output=tmp_path / "own.npy", workers=0)
    features = np.load(written.output)
    assert features.shape == (written.samples, 4)
    other = lambda net, batch: 2 * net(batch["pixel_values"])  # noqa: E731 - code, same tensors
    own.own = replace(own.own, extract=other)
    again = zoo.embed(own, photos, output=tmp_path / "again.npy", workers=0)
    assert np.allclose(np.load(again.output), 2 * features)
    run = trained(own, photos, tmp_path / "run", strategy="probe")
    assert zoo.embed(run, photos, output=tmp_path / "run.npy", workers=0).run == run.folder
    with pytest.raises(UsageError, match="would be random"):
        zoo.embed(random, photos, output=tmp_path / "random.npy")
    with pytest.raises(UsageError, match="no effect on a run"):
        zoo.embed(run, photos, output=tmp_path / "x.npy", image_size=32)


def test_a_function_that_is_half_named_is_told_in_full(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(source.parent)
    for given in ("my_file.py", "my_file:build_net"):
        with pytest.raises(UsageError, match=r"my_file\.py:(NAME|build_net)"):
            zoo.finetune(given, reporter=Quiet())


def test_several_runs_are_opened_with_the_networks_of_their_names(
    source: Path, photos: Path, tmp_path: Path, zoo_cli: Zoo
) -> None:
    typed = [f"{source}:build_net", f"{source}:pretrained"]
    runs = [trained(name, photos, tmp_path / name[-5:]) for name in typed]
    folders = [run.folder for run in runs]
    expected = [run.predict([image(photos)]) for run in runs]
    shutil.rmtree(config_folder() / "networks")  # as on another machine
    opened = zoo.open_runs(folders, networks=typed[::-1])
    assert [run.predict([image(photos)]) for run in opened] == expected
    networks = [word for name in typed for word in ("--network", name)]
    compared = zoo_cli("compare", *folders, "--data", photos, *networks, "--json")
    assert [run["run"] for run in compared.json["runs"]] == list(map(str, folders))
    shutil.rmtree(config_folder() / "networks")
    features = ("--output", tmp_path / "features.npy", *networks[:2])
    assert zoo_cli("embed", folders[0], photos, *features).code == 0
    assert np.load(tmp_path / "features.npy").shape[1] == 8
    with pytest.raises(UsageError, match="'other'; their networks: build_net, pretrained"):
        zoo.open_runs(folders, networks=[*typed, f"{source}:other"])


def test_code_of_a_notebook_is_nowhere(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "__main__", ModuleType("__main__"))
    names = {"__name__": "__main__"}
    exec(compile(SOURCE, "cell", "exec"), names)
    for given in (names["Net"], names["build_net"]):
        source = zoo.wrap(given).own.source  # type: ignore[arg-type]
        assert (source.importable, source.file) == (False, "")
    run = trained(zoo.wrap(names["Net"]), photos, tmp_path / "run")  # type: ignore[arg-type]
    with pytest.raises(RunError, match="in a script or notebook"):
        zoo.open_run(run.folder).load()
    assert zoo.open_run(run.folder, network=names["Net"]).load() is not None  # type: ignore[arg-type]


def test_a_run_of_an_object_repeats_only_from_its_values(
    photos: Path, tmp_path: Path, source: Path, zoo_cli: Zoo
) -> None:
    net = zoo.wrap(f"{source}:Net").native_network()
    assert net is not None
    nn.init.ones_(net.get_parameter("conv.bias"))
    run = trained(zoo.wrap(net), photos, tmp_path / "run")
    assert run.record["network"]["name"] == "Net"  # found again, with other values
    assert zoo.open_run(run.folder).predict([image(photos)]) == run.predict([image(photos)])
    refused = zoo_cli("rerun", run.folder, "--output", tmp_path / "again")
    assert (refused.code, "differ from those" in refused.err) == (1, True)
    assert not (tmp_path / "again").exists()


def test_a_damaged_record_of_a_network_is_reported(
    photos: Path, tmp_path: Path, source: Path
) -> None:
    run = trained(f"{source}:build_net", photos, tmp_path / "run")
    record = json.loads((run.folder / "run.json").read_text())
    for change in ({"head": 5}, {"stages": 5}, {"extract": ["os"]}, {"name": 5}, {"head": "no"}):
        changed = {**record, "network": {**record["network"], **change}}
        (run.folder / "run.json").write_text(json.dumps(changed))
        with pytest.raises((RunError, ContractError)):
            zoo.open_run(run.folder).load()


def test_a_wrapped_random_network_depends_on_the_seed(
    photos: Path, tmp_path: Path, source: Path
) -> None:
    runs = [
        trained(f"{source}:{name}", photos, tmp_path / f"{i}", strategy="probe", seed=seed)
        for i, (name, seed) in enumerate([("wrapped_random", 0), ("wrapped_random", 1), ("Net", 1)])
    ]
    assert [run.record["weights"] for run in runs] == [None] * 3
    first, second, plain = (run.load().native_state_dict()["conv.weight"] for run in runs)
    assert not torch.equal(first, second)
    assert torch.equal(second, plain)
