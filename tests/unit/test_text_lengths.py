"""How long texts may be: truncation is reported, and the longest promised text is computed."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

import zoo
from tests.made_runs import weighted_run
from tests.unit.test_padding import TIGHT, network, words
from zoo import BackboneSpec, Run, TextInput, build
from zoo.engine import precision
from zoo.engine.precision import choose_precision
from zoo.engine.progress import Quiet
from zoo.errors import NameLookupError, UsageError
from zoo.modalities.text.fitting import at_usual_length
from zoo.modalities.text.modality import TEXT
from zoo.modalities.text.tokenization import TextEncoder
from zoo.ranking.ranking import Watch
from zoo_serve.parsing import Input
from zoo_serve.service import Service
from zoo_transformers.catalogue import LOADER
from zoo_transformers.families import longest_text
from zoo_transformers.resolve import resolve

_SMALL: Mapping[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 42,
    "vocab_size": 60,
    "pad_token_id": 1,
}


class Notes(Quiet):
    def __init__(self) -> None:
        self.told: list[str] = []

    def note(self, text: str) -> None:
        self.told.append(text)


def test_truncation_of_a_long_text_is_exact_to_the_token() -> None:
    encoder = TextEncoder(words(), TextInput(max_length=4, vocab_size=60))
    assert [len(each) for each in encoder.encode(["a a a", "a a a a", "a a a a a"])] == [3, 4, 4]
    assert [each.cut for each in encoder.tokens(["a a a", "a a a a", "a a a a a"])] == [
        False,
        False,
        True,
    ]


def test_a_fine_tune_says_and_records_how_many_texts_it_cut(tmp_path: Path) -> None:
    table = tmp_path / "texts.csv"
    rows = [
        f"{'fine' if i % 2 else 'bad'}{' word' * (9 if i < 4 else 1)},{i % 2}" for i in range(20)
    ]
    table.write_text("text,label\n" + "\n".join(rows) + "\n")
    reporter = Notes()
    run = zoo.finetune(
        "lstm", data=str(table), max_length=4, epochs=1, output=tmp_path / "run", device="cpu",
        reporter=reporter,
    )  # fmt: skip
    [told] = [note for note in reporter.told if "--max-length N, at most 256" in note]
    assert told.startswith("4 of 20 texts are truncated to 4 tokens")
    assert told in run.record["data"]["notes"]
    page = run.report(tmp_path / "page.html", device="cpu")
    assert told in page.path.read_text(encoding="utf-8")
    answered = Notes()
    run.predict(["fine word", "fine word word word word word"], reporter=answered)
    [told] = answered.told
    assert told.startswith("1 of 2 texts is truncated to 4 tokens; set in training")
    short, long = run.predict(["fine word", "fine word word word word word"])
    assert (short.to_json().get("unread"), long.to_json()["unread"]) == (None, ["end"])
    other = tmp_path / "other.csv"
    other.write_text("text,label\nfine a b c d e f,1\nbad g h i j k l m,0\n")
    evaluated = Notes()
    results = run.evaluate(str(other), reporter=evaluated)
    assert results["all"].to_json()["notes"] == evaluated.told
    assert evaluated.told[0].startswith("2 of 2 texts are truncated to 4 tokens")


def test_features_and_rankings_say_how_many_texts_are_cut_also_from_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    table = tmp_path / "texts.csv"
    rows = [
        f"{'fine' if i % 2 else 'bad'} word{' word' * 300 * (i < 4)},{i % 2}" for i in range(12)
    ]
    table.write_text("text,label\n" + "\n".join(rows) + "\n")
    told = "4 of 12 texts are truncated to 64 tokens; --max-length N, at most 256, reads more"
    for _ in range(2):  # computed, and from the cache
        reporter = Notes()
        found = zoo.embed(
            "lstm", table, output=tmp_path / "x.npy", weights="none", max_length=64,
            device="cpu", reporter=reporter,
        )  # fmt: skip
        assert told in reporter.told
        assert found.to_json()["notes"] == [told]
        reporter = Notes()
        zoo.recommend(
            table, ["lstm"], weights="none", samples=12, device="cpu", time_limit=None,
            watch=Watch(reporter),
        )  # fmt: skip
        assert "4 of 12 texts are truncated to 256 tokens" in " ".join(reporter.told)


def test_a_run_is_trained_further_at_any_length_that_its_network_takes() -> None:
    spec = network("bert", TIGHT["bert"], "mean").spec
    longest = spec.text_input.max_length
    short = at_usual_length(spec).with_input(max_length=3)
    assert at_usual_length(short).text_input.max_length == 3
    assert at_usual_length(short).text_input.longest == longest
    wide = spec.with_input(max_length=8192)
    assert at_usual_length(wide).text_input.max_length == 512
    note = TEXT.truncation_note(1, 2, at_usual_length(wide))
    assert note.startswith("1 of 2 texts ")
    assert "512 tokens" in note
    assert "--max-length N, at most 8,192" in note
    assert TEXT.truncation_note(0, 2, at_usual_length(wide)) == ""


def test_a_server_marks_the_answers_to_texts_that_were_cut(tmp_path: Path) -> None:
    import asyncio

    spec = network("bert", TIGHT["bert"], "mean").spec.with_input(max_length=4)
    run = Run(weighted_run(tmp_path / "run", spec, tokenizer=words()))
    service = Service(run.predictor(device="cpu"))
    try:
        inputs = [Input("a few", "1"), Input("a few words to learn from", "2")]
        found = asyncio.run(service.answer(inputs))
    finally:
        service.close()
    assert [each.get("unread") for each in found.predictions] == [None, ["end"]]


@pytest.mark.parametrize("model_type", ["longformer", "data2vec-text", "roberta-prelayernorm"])
def test_the_longest_text_that_is_promised_is_computed(model_type: str) -> None:
    config = {"model_type": model_type, **_SMALL, "attention_window": [4, 4]}
    assert longest_text(config) == 40
    spec = BackboneSpec(
        name="hf/tiny",
        modality="text",
        feature_dim=16,
        params=0,
        input=TextInput(max_length=40, pooling="mean", vocab_size=60, pad_id=1),
        loader=LOADER,
        config=config,
    )
    ids = torch.randint(5, 60, (1, 40), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        features = (
            build(spec, None)
            .eval()
            .features({"input_ids": ids, "attention_mask": torch.ones_like(ids)})
        )
    assert features.shape == (1, 16)
    assert features.isfinite().all()


def test_positions_are_counted_from_the_first_where_the_library_does_so() -> None:
    assert longest_text({"model_type": "bert", **_SMALL}) == 42
    assert longest_text({"model_type": "../*", **_SMALL}) == 42


def test_the_length_that_sentence_transformers_states_is_the_default(tmp_path: Path) -> None:
    config = {"model_type": "bert", **_SMALL, "max_position_embeddings": 900}
    (tmp_path / "config.json").write_text(json.dumps(config))
    for stated, usual in ((800, 800), ("800", 0), (None, 0)):
        (tmp_path / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": stated}))
        spec = resolve(f"path:{tmp_path}")
        assert spec is not None
        assert spec.text_input.usual_length == usual
        assert spec.text_input.max_length == 900


def test_an_adapter_folder_is_called_one(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(NameLookupError, match="PEFT adapter") as caught:
        resolve(f"path:{tmp_path}")
    assert "merge_and_unload" in str(caught.value.hint)


@pytest.fixture
def fast_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor on which ``auto`` prefers it."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True})


@pytest.mark.usefixtures("fast_bfloat16")
def test_a_network_that_overflows_in_bfloat16_computes_in_float32() -> None:
    config = {**_SMALL, "pad_token_id": 0, "relative_attention": True, "pos_att_type": ["c2p"]}
    backbone = network("deberta", config, "mean")
    with pytest.raises(UsageError, match="bfloat16") as caught:
        choose_precision("bf16", backbone, CPU, Quiet(), trains=False)
    assert "--precision fp32" in str(caught.value.hint)
    reporter = Notes()
    assert choose_precision("auto", backbone, CPU, reporter, trains=True) == "fp32"
    assert "overflow" in reporter.told[0]


@pytest.mark.usefixtures("fast_bfloat16")
@pytest.mark.parametrize(
    ("sample", "steps"), [(0.01, [1, 4, 4, 4]), (0.15, [1, 4]), (0.22, [1, 1, 1]), (3.0, [1])]
)
@pytest.mark.parametrize(("factor", "chosen"), [(0.5, "bf16"), (0.95, "fp32")])
def test_timing_steps_takes_less_than_two_seconds_where_a_step_does(
    sample: float,
    steps: list[int],
    factor: float,
    chosen: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    taken: list[tuple[str, int]] = []
    clock = 0.0

    def timed(_b: Any, _d: Any, each: str, *, samples: int, trains: bool) -> float:
        nonlocal clock
        assert trains
        taken.append((each, samples))
        seconds = samples * sample * (factor if each == "bf16" else 1.0)
        clock += seconds
        return seconds

    monkeypatch.setattr(precision, "step_seconds", timed)
    backbone = network("bert", TIGHT["bert"], "mean")
    assert choose_precision("auto", backbone, CPU, Quiet(), trains=True) == chosen
    assert taken == [(each, samples) for samples in steps for each in ("fp32", "bf16")]
    assert clock < 2 or len(steps) == 1


@pytest.mark.usefixtures("fast_bfloat16")
@pytest.mark.parametrize(("seconds", "chosen"), [(0.5, "bf16"), (0.95, "fp32")])
def test_bfloat16_is_chosen_where_a_step_in_it_is_faster(
    seconds: float, chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone = network("bert", TIGHT["bert"], "mean")
    real = precision.step_seconds

    def timed(*given: Any, **more: Any) -> float:
        assert real(*given, **more) > 0
        return seconds if "bf16" in given else 1.0

    monkeypatch.setattr(precision, "step_seconds", timed)
    before = copy.deepcopy(backbone.state_dict())
    drawn = torch.get_rng_state()
    assert choose_precision("auto", backbone, CPU, Quiet(), trains=True) == chosen
    after = backbone.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert all(parameter.grad is None for parameter in backbone.parameters())
    assert torch.equal(torch.get_rng_state(), drawn)


CPU = torch.device("cpu")


class Overflows(torch.autograd.Function):
    """Finite forwards, and infinite backwards."""

    @staticmethod
    def forward(_context: Any, given: torch.Tensor) -> torch.Tensor:
        return given.clone()

    @staticmethod
    def backward(_context: Any, gradient: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        return gradient * float("inf")


@pytest.mark.usefixtures("fast_bfloat16")
def test_a_network_that_overflows_in_the_backward_pass_alone_trains_in_float32() -> None:
    backbone, reporter = network("bert", TIGHT["bert"], "mean"), Notes()
    layer = backbone.net.encoder.layer[0]  # type: ignore[index,union-attr]
    layer.register_forward_hook(lambda _m, _i, out: Overflows.apply(out))
    assert choose_precision("auto", backbone, CPU, reporter, trains=True) == "fp32"
    assert "not finite" in reporter.told[0]
    with pytest.raises(UsageError, match="bfloat16"):
        choose_precision("bf16", backbone, CPU, Quiet(), trains=True)
    # A head alone needs no gradient of it.
    assert choose_precision("bf16", backbone, CPU, Quiet(), trains=False) == "bf16"
