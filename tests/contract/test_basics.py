"""The small CNN and the LSTM keep the contract and learn."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from tests.contract.checks import ONNX
from zoo import Backbone, BackboneSpec, Weights, build
from zoo.errors import WeightsError
from zoo.testing import CHECKS, examine, parametrize_backbones, suite
from zoo_basics import lstm
from zoo_basics.plugin import zoo_backbones

SPECS = {spec.name: spec.in_namespace("basics") for spec in zoo_backbones()}


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def make(name: str, **changes: int) -> Backbone:
    torch.manual_seed(0)
    return build(SPECS[name].with_input(**changes), None)


@pytest.mark.parametrize("name", SPECS)
def test_every_check_of_the_contract_is_passed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    quick = {name: check for name, check in CHECKS.items() if name != ONNX}
    monkeypatch.setattr(suite, "CHECKS", quick)
    outcomes = list(examine(SPECS[name]))
    assert {o.check: o.message for o in outcomes if o.status == "failed"} == {}
    assert len([o for o in outcomes if o.status == "passed"]) >= 18


@pytest.mark.slow
@parametrize_backbones(SPECS.values(), checks=[ONNX])
def test_they_can_be_written_as_onnx(check: Callable[[], None]) -> None:
    check()


@pytest.mark.parametrize("name", SPECS)
def test_the_contract_is_kept_on_the_meta_device(name: str) -> None:
    outcomes = list(examine(SPECS[name], max_params=1))
    assert {o.check: o.message for o in outcomes if o.status == "failed"} == {}


@pytest.mark.parametrize("name", SPECS)
def test_the_catalogue_states_the_real_size(name: str) -> None:
    assert SPECS[name].params == sum(p.numel() for p in make(name).parameters())


@pytest.mark.parametrize("name", SPECS)
def test_there_are_no_weights_to_download(name: str) -> None:
    assert SPECS[name].weights == ()
    assert BackboneSpec.from_json(json.loads(json.dumps(SPECS[name].to_json()))) == SPECS[name]


def test_stages_are_named_by_what_they_are() -> None:
    assert [stage.name for stage in make("cnn").stages()] == ["conv1", "conv2", "linear"]
    assert [stage.name for stage in make("lstm").stages()] == ["embedding", "lstm"]


@pytest.mark.parametrize("shape", [(4, 4), (5, 9), (28, 28), (32, 32), (97, 61), (224, 224)])
def test_the_cnn_takes_images_of_any_size(shape: tuple[int, int]) -> None:
    features = make("cnn").eval().features(torch.randn(2, 3, *shape))
    assert features.shape == (2, 128)


def test_the_cnn_is_two_3x3_convolutions_and_two_linear_layers() -> None:
    backbone = make("cnn")
    backbone.replace_head(10)
    kernels = [m.kernel_size for m in backbone.modules() if isinstance(m, nn.Conv2d)]
    assert kernels == [(3, 3), (3, 3)]
    assert sum(isinstance(m, nn.Linear) for m in backbone.modules()) == 2


def tokens(lengths: list[int], *, total: int | None = None) -> dict[str, Tensor]:
    """Random texts of these lengths, padded to the longest or to ``total``."""
    generator = torch.Generator().manual_seed(3)
    width = total or max(lengths)
    ids = torch.zeros(len(lengths), width, dtype=torch.int64)
    mask = torch.zeros_like(ids)
    for row, length in enumerate(lengths):
        ids[row, :length] = torch.randint(2, 50, (length,), generator=generator)
        mask[row, :length] = 1
    return {"input_ids": ids, "attention_mask": mask}


def test_what_stands_behind_a_text_does_not_change_the_lstm_features() -> None:
    backbone = make("lstm", vocab_size=50).eval()
    short, long = tokens([7, 3, 1]), tokens([7, 3, 1], total=20)
    long["input_ids"][long["attention_mask"] == 0] = 17  # whatever stands there
    torch.testing.assert_close(backbone.features(short), backbone.features(long), rtol=0, atol=1e-7)


def test_the_lstm_agrees_with_packed_sequences() -> None:
    backbone = make("lstm", vocab_size=50).eval()
    net, batch = backbone.net, tokens([9, 4, 1, 6])
    both = nn.LSTM(100, 64, batch_first=True, bidirectional=True)
    own = {f"{k}_reverse": v for k, v in net.lstm_backward.state_dict().items()}
    both.load_state_dict({**net.lstm_forward.state_dict(), **own})
    packed = nn.utils.rnn.pack_padded_sequence(
        net.embedding(batch["input_ids"]),
        batch["attention_mask"].sum(dim=1),
        batch_first=True,
        enforce_sorted=False,
    )
    states, _ = nn.utils.rnn.pad_packed_sequence(both(packed)[0], batch_first=True)
    lengths = batch["attention_mask"].sum(dim=1, keepdim=True)
    torch.testing.assert_close(backbone.features(batch), states.sum(dim=1) / lengths)


def test_the_lstm_reads_order_in_both_directions() -> None:
    backbone = make("lstm", vocab_size=50).eval()
    ids = torch.tensor([[5, 6, 7, 8], [8, 7, 6, 5]])
    features = backbone.features({"input_ids": ids, "attention_mask": torch.ones_like(ids)})
    assert not torch.allclose(features[0], features[1])


def test_the_vocabulary_is_that_of_the_trained_tokenizer() -> None:
    spec = SPECS["lstm"]
    assert not spec.text_input.own_tokenizer
    backbone = make("lstm", vocab_size=321, pad_id=2)
    assert backbone.tokenizer is None
    assert backbone.net.embedding.num_embeddings == 321
    assert backbone.net.embedding.weight[2].abs().sum() == 0
    assert backbone.net.embedding.weight.std() < 0.2


@pytest.mark.parametrize("name", SPECS)
def test_a_run_is_weights_for_the_next(name: str, tmp_path: Path) -> None:
    first = make(name)
    first.replace_head(3)
    file = tmp_path / "model.safetensors"
    safetensors.torch.save_file(first.native_state_dict(), file)
    torch.manual_seed(9)
    second = build(SPECS[name], Weights(tag="file", uri=str(file), classes=0))
    for key, tensor in first.net.state_dict().items():
        assert torch.equal(second.net.state_dict()[key], tensor)
    other = "lstm" if name == "cnn" else "cnn"
    with pytest.raises(WeightsError, match="missing"):
        build(SPECS[other], Weights(tag="file", uri=str(file), classes=0))


def learn(backbone: Backbone, batch: dict[str, Tensor], labels: Tensor, steps: int) -> float:
    """Accuracy on what was learned."""
    optimizer = torch.optim.AdamW(backbone.parameters(), lr=3e-3)
    backbone.train()
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(backbone(batch), labels).backward()
        optimizer.step()
    backbone.eval()
    with torch.no_grad():
        return float((backbone(batch).argmax(dim=1) == labels).float().mean())


def test_the_lstm_learns_a_word_that_decides() -> None:
    backbone = make("lstm", vocab_size=50)
    backbone.replace_head(2)
    batch = tokens([12] * 64)
    labels = torch.arange(64) % 2
    batch["input_ids"][batch["input_ids"] < 4] = 5
    batch["input_ids"][labels == 1, 6] = 2
    batch["input_ids"][labels == 0, 6] = 3
    assert learn(backbone, batch, labels, steps=40) == 1.0


def test_the_cnn_learns_the_direction_of_stripes() -> None:
    backbone = make("cnn")
    backbone.replace_head(2)
    generator = torch.Generator().manual_seed(1)
    labels = torch.arange(32) % 2
    stripes = torch.arange(16).remainder(4).lt(2).float()
    across = stripes.expand(16, 16)
    images = torch.stack([across if label else across.T for label in labels])
    noise = torch.randn(32, 3, 16, 16, generator=generator)
    batch = {"pixel_values": images.unsqueeze(1) + 0.5 * noise}
    assert learn(backbone, batch, labels, steps=30) == 1.0


@pytest.mark.parametrize("name", SPECS)
def test_bfloat16_gives_nearly_the_same(name: str) -> None:
    backbone = make(name).eval()
    batch = tokens([9, 4]) if name == "lstm" else {"pixel_values": torch.randn(2, 3, 32, 32)}
    with torch.no_grad():
        exact = backbone.features(batch)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rough = backbone.features(batch)
    torch.testing.assert_close(rough.float(), exact, rtol=0.05, atol=0.05)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_processor_without_a_narrow_lstm_reads_in_float32(
    monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype
) -> None:
    monkeypatch.setattr(lstm, "runs_bfloat16_lstm", lambda: False)
    backbone, batch = make("lstm").eval(), tokens([9, 4])
    exact = backbone.features(batch)
    with torch.autocast("cpu", dtype=dtype):
        assert torch.equal(backbone.features(batch), exact)


def test_dropout_can_be_set_in_the_config() -> None:
    spec = replace(SPECS["lstm"], config={**SPECS["lstm"].config, "dropout": 0.0})
    backbone = build(spec, None).train()
    batch = tokens([5, 2])
    assert torch.equal(backbone.features(batch), backbone.features(batch))
