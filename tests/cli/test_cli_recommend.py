"""``zoo recommend``: weights that are fetched meanwhile, and the table that grows."""

from __future__ import annotations

import functools
import io
import threading
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from PIL import Image
from rich.console import Console

import zoo as library
from tests.cli.conftest import Zoo
from zoo.cli.growing import growing_table
from zoo.cli.recommend import COLUMNS, table_cells
from zoo.engine.progress import Quiet
from zoo.modalities import IMAGE, TEXT
from zoo.ranking.deadline import Deadline, OutOfTime
from zoo.ranking.features import RankingSetup, download_weights
from zoo.ranking.results import Ranked, Ranking

TINY = """
import zoo


@zoo.hookimpl
def zoo_backbones():
    for name in ("tiny", "lost"):
        weights = zoo.Weights(tag="v1", uri=f"{HOST}/{name}.pth", default=True, classes=2)
        yield zoo.BackboneSpec(
            name=name, modality="image", feature_dim=4, params=118, loader=f"{__name__}:load",
            input=zoo.ImageInput(size=8, min_size=3), weights=(weights,), license="MIT",
        )


def net():
    from torch import nn

    body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return nn.Sequential(body, nn.Linear(4, 2))


def load(spec):
    backbone = zoo.Backbone.wrap(net(), spec=spec, head="1", stages={"body": ["0"]})
    return backbone
"""


class _Silent(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def host(tmp_path: Path) -> Iterator[str]:
    """A host on this machine that has the weights of ``tiny`` and not those of ``lost``."""
    folder = tmp_path / "host"
    folder.mkdir()
    names: dict[str, object] = {}
    exec(TINY.partition("def net")[1] + TINY.partition("def net")[2], names)
    torch.save(names["net"]().state_dict(), folder / "tiny.pth")  # type: ignore[operator]
    handler = functools.partial(_Silent, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for name, shade in (("dark", 20), ("light", 200)):
        (tmp_path / "images" / name).mkdir(parents=True)
        for number in range(8):
            image = Image.new("RGB", (12, 12), (shade + number, number, 90))
            image.save(tmp_path / "images" / name / f"{number}.png")
    return tmp_path / "images"


@pytest.fixture
def plugin(install: Callable[..., Path], host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_PLUGINS", "acme")
    install("acme", f"HOST = {host!r}\n{TINY}")


def test_weights_are_fetched_and_what_cannot_be_is_left_out(
    zoo: Zoo, plugin: None, images: Path, tmp_path: Path
) -> None:
    done = zoo("recommend", images, "acme/*", "--workers", 0, "--json")
    assert done.code == 0, done.err
    assert "tiny: downloading its weights" in done.err
    (row,) = done.document["ranked"]
    assert (row["name"], row["probe"]) == ("tiny", 1.0)
    assert next((tmp_path / "TORCH_HOME").rglob("tiny.pth")).is_file()
    (lost,) = done.document["left_out"]
    assert lost["name"] == "lost"
    assert "lost.pth" in lost["reason"]
    assert "404" in lost["reason"]


def test_a_download_ends_with_the_time(plugin: None, images: Path) -> None:
    from tests.opened import open_subsample

    setup = RankingSetup(
        sample=open_subsample(images, samples=16, kinds=(IMAGE, TEXT)),
        seed=0,
        device=torch.device("cpu"),
        workers=0,
        registry=library.Registry.discover(),
        reporter=Quiet(),
        deadline=Deadline(0.02),
    )
    with pytest.raises(OutOfTime):
        download_weights("acme/tiny", setup)


def _row(name: str, score: float) -> Ranked:
    return Ranked(
        name=name,
        backbone=name,
        weights="v1",
        probe=score,
        logme=0.1,
        params=10,
        feature_dim=4,
        seconds=1.5,
        license="MIT",
    )


def test_the_table_has_the_end_of_a_long_path() -> None:
    assert _row(f"path:/{'far/' * 12}mine/model", 0.5).title == "path:…/mine/model"
    assert _row("path:near/model", 0.5).title == "path:near/model"


def test_on_a_terminal_the_table_grows_best_first() -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=120)
    ranking = Ranking(
        data="d", modality="image", task="single-label", classes=("a", "b"), samples=50
    )
    with growing_table(console, COLUMNS, table_cells, 2) as watch:
        for number, (name, score) in enumerate((("good", 0.8), ("poor", 0.5), ("best", 0.9)), 1):
            watch.started(name, number, 3)
            with watch.reporter.steps("features", 4) as advance:
                advance()
            watch.reporter.note(f"a note on \x1b[31m{name}")
            row = _row(name, score)
            ranking = ranking.with_row(row)
            watch.added(ranking, row)
    shown = stream.getvalue()
    assert "\x1b[31mbest" not in shown
    assert "a note on" in shown
    last = shown[shown.rindex("probe") :]
    assert last.index("best") < last.index("good")
    assert "poor" not in last.replace("a note on", "")
