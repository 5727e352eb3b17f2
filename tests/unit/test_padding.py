"""A text's features do not depend on the texts beside it, whatever the network does with padding."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer
from torch import nn

from tests.made_runs import weighted_run
from zoo import Backbone, BackboneSpec, Run, TextInput, build
from zoo.contract.spec import Pooling
from zoo.errors import ContractError, RunError
from zoo.export import export_run
from zoo.export.native import native_source
from zoo.modalities.text.tokenization import train_tokenizer
from zoo_transformers.catalogue import LOADER
from zoo_transformers.families import width_of

_SMALL: Mapping[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 40,
    "pad_token_id": 0,
}
LEAKING: Mapping[str, Mapping[str, Any]] = {
    "fnet": _SMALL,
    "yoso": _SMALL,
    "convbert": {**_SMALL, "embedding_size": 16, "head_ratio": 1, "conv_kernel_size": 3},
    "nystromformer": _SMALL,
}
TIGHT: Mapping[str, Mapping[str, Any]] = {
    "bert": _SMALL,
    "roformer": _SMALL,
    "gpt2": {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 40, "eos_token_id": 3},
}


def network(model_type: str, config: Mapping[str, Any], pooling: Pooling) -> Backbone:
    full = {"model_type": model_type, **config}
    width = width_of(full)
    assert width is not None
    torch.manual_seed(0)
    spec = BackboneSpec(
        name=f"hf/tiny-{model_type}",
        modality="text",
        feature_dim=width,
        params=0,
        input=TextInput(max_length=40, pooling=pooling, vocab_size=60, pad_id=0),
        loader=LOADER,
        config=full,
    )
    return build(spec, None).eval()


def words() -> Tokenizer:
    return train_tokenizer(["a few words to learn from"] * 2, 60)


def company() -> dict[str, torch.Tensor]:
    """Texts of 2, 9, 5, 9 and 1 tokens, padded to 9."""
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(5, 60, (5, 9), generator=generator)
    mask = (torch.arange(9) < torch.tensor([[2], [9], [5], [9], [1]])).long()
    return {"input_ids": ids * mask, "attention_mask": mask}


def alone(batch: Mapping[str, torch.Tensor], row: int) -> dict[str, torch.Tensor]:
    length = int(batch["attention_mask"][row].sum())
    return {key: value[row : row + 1, :length] for key, value in batch.items()}


@pytest.mark.parametrize("pooling", ["mean", "pooler"])
@pytest.mark.parametrize("model_type", LEAKING)
def test_a_text_has_the_same_features_alone_and_in_company(
    model_type: str, pooling: Pooling
) -> None:
    backbone = network(model_type, LEAKING[model_type], pooling)
    assert backbone.unpadded
    batch = company()
    with torch.no_grad():
        together = backbone.features(batch)
        apart = torch.cat([backbone.features(alone(batch, row)) for row in range(5)])
    torch.testing.assert_close(together, apart, rtol=1e-5, atol=1e-6)


def test_a_pooling_of_the_last_place_takes_no_padding_for_it() -> None:
    config = {"d_model": 16, "n_layer": 2, "n_head": 2, "d_inner": 24}
    backbone, batch = network("xlnet", config, "pooler"), company()
    with torch.no_grad():
        together = backbone.features(batch)
        apart = torch.cat([backbone.features(alone(batch, row)) for row in range(5)])
    torch.testing.assert_close(together, apart, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("pooling", ["mean", "last", "pooler"])
@pytest.mark.parametrize("model_type", TIGHT)
def test_networks_that_heed_the_mask_compute_whole_batches(
    model_type: str, pooling: Pooling
) -> None:
    assert not network(model_type, TIGHT[model_type], pooling).unpadded


def test_gradients_of_texts_computed_apart_are_those_of_each_alone() -> None:
    backbone, batch = network("fnet", LEAKING["fnet"], "mean"), company()
    table = backbone.token_embedding()
    assert isinstance(table, nn.Embedding)
    backbone.features(batch).square().sum().backward()  # type: ignore[no-untyped-call]
    assert table.weight.grad is not None
    together = table.weight.grad.clone()
    table.weight.grad = None
    for row in range(5):
        backbone.features(alone(batch, row)).square().sum().backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(together, table.weight.grad, rtol=1e-4, atol=1e-6)


def test_a_network_that_needs_padding_and_heeds_it_is_refused() -> None:
    config = {**_SMALL, "local_transformer_stride": 8, "downsampling_rate": 4}
    for pooling in ("mean", "pooler"):
        with pytest.raises(ContractError, match="tiny-canine"):
            network("canine", {**config, "num_hash_buckets": 64, "num_hash_functions": 2}, pooling)


def test_funnel_is_refused_with_a_pooling_that_padding_changes_and_the_way_out_is_reported() -> (
    None
):
    config = {"block_sizes": [1, 1], "d_model": 16, "n_head": 2, "d_head": 8, "d_inner": 24}
    for pooling in ("mean", "last"):
        with pytest.raises(ContractError, match="tiny-funnel") as error:
            network("funnel", {**config, "pad_token_id": 0}, pooling)
        assert "--pooling" in str(error.value.hint)
    assert not network("funnel", {**config, "pad_token_id": 0}, "pooler").unpadded


def test_no_export_of_a_run_pads_where_padding_changes_its_answers(tmp_path: Path) -> None:
    spec = network("fnet", LEAKING["fnet"], "mean").spec
    run = Run(weighted_run(tmp_path / "run", spec, tokenizer=words()))
    backbone = run.load()
    backbone.tokenizer = run.tokenizer
    with pytest.raises(RunError, match="equal length"):
        export_run(run, format="torch-export", output=tmp_path / "out")
    with pytest.raises(RunError, match="its library pads"):
        native_source(backbone, run)
    kept = json.loads((run.folder / "tokenizer_config.json").read_text())
    assert "pad_token" not in kept
    assert not (tmp_path / "out").exists()


def test_what_was_found_at_the_start_of_a_run_holds_for_its_answers(tmp_path: Path) -> None:
    spec = network("bert", TIGHT["bert"], "mean").spec
    folder = weighted_run(tmp_path / "run", spec, tokenizer=words(), unpadded=True)
    assert Run(folder).load().unpadded


def test_opening_a_run_does_not_measure_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = network("bert", TIGHT["bert"], "mean").spec
    folder = weighted_run(tmp_path / "run", spec, tokenizer=words(), unpadded=False)
    monkeypatch.setattr("zoo.weights.loading.build.padding_matters", lambda backbone: 1 / 0)
    assert Run(folder).load().unpadded is False
