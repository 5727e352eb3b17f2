"""Texts padded to a few lengths: which ones, and when."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import zoo
from tests.unit.test_data_loader import texts
from zoo.contract.spec import TextInput
from zoo.data.loader import make_loader
from zoo.engine import sources
from zoo.engine.progress import Quiet
from zoo.modalities.text.batches import TextBatches
from zoo.modalities.text.tokenization import TextEncoder, train_tokenizer
from zoo.modalities.text.widths import COST, MULTIPLE, choose_widths


def tokens(longest: Sequence[int], widths: Sequence[int]) -> int:
    return sum(min(w for w in widths if w >= length) for length in longest)


def test_the_fewest_widths_that_cost_little() -> None:
    assert choose_widths(np.full(64, 13), 32, 512) == (16,)
    assert choose_widths(np.array([3, 30, 500]), 32, 512) == (500,)  # one batch
    assert choose_widths(np.array([510] * 4), 2, 510) == (510,)  # the network takes no more
    # 99 batches of 8 tokens and one of 400: two widths cost nothing, one would cost 40,000 tokens
    assert choose_widths(np.array([5] * 99 + [400]), 1, 512) == (8, 400)


def test_no_other_widths_of_that_number_cost_less() -> None:
    lengths = np.random.default_rng(0).gamma(2.0, 4.0, 400).astype(int) + 2
    found = choose_widths(lengths, 4, 512)
    longest = np.sort(lengths)[::-1][::4]
    every = sorted({-(-int(n) // MULTIPLE) * MULTIPLE for n in longest})
    least = tokens(longest, every)
    assert found[-1] == every[-1] >= lengths.max()
    assert tokens(longest, found) <= (1 + COST) * least

    def best(number: int) -> int:
        some = combinations(every[:-1], number - 1)
        return min(tokens(longest, [*each, every[-1]]) for each in some)

    assert tokens(longest, found) == best(len(found))
    assert best(len(found) - 1) > (1 + COST) * least


def test_batches_have_these_widths_only() -> None:
    encoder = TextEncoder(train_tokenizer(texts().inputs.items, 200), TextInput(max_length=16))
    reader = TextBatches(texts(), encoder, static_batch=2)
    assert reader.widths
    plain = TextBatches(texts(), encoder)
    assert plain.widths == ()
    loader, dynamic = (
        make_loader(each, batch_size=2, shuffle=True, seed=3) for each in (reader, plain)
    )
    for batch, other in zip(loader, dynamic, strict=True):
        ids, mask = batch["input_ids"], batch["attention_mask"]
        assert ids.shape[1] in reader.widths
        longest = other["input_ids"].shape[1]
        assert torch.equal(ids[:, :longest], other["input_ids"])
        assert torch.equal(mask[:, :longest], other["attention_mask"])
        assert not mask[:, longest:].any()


@pytest.mark.slow(1)
@pytest.mark.parametrize("compiled", ["on", "off"])
def test_training_pads_to_them_where_it_is_compiled(
    compiled: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes = set()
    place = sources.Batches.place

    def noted(self: sources.Batches, step: sources.Step, number: int) -> Any:
        shapes.add(step.inputs["input_ids"].shape[1])
        return place(self, step, number)

    monkeypatch.setattr(sources.Batches, "place", noted)
    monkeypatch.setattr(torch, "compile", lambda call, **_: call)
    table = tmp_path / "texts.csv"
    rows = [f"{'word ' * (1 + n)}{'good' if n % 2 else 'bad'},{n % 2}" for n in range(40)]
    table.write_text("\n".join(["text,label", *rows]))
    how: dict[str, Any] = {"strategy": "full", "epochs": 1, "batch_size": 4, "compile": compiled}
    how |= {"weights": "none", "report": False, "reporter": Quiet()}
    run = zoo.finetune("lstm", table, output=tmp_path / "run", **how)
    widths = run.record["padded_to"]
    assert bool(widths) == (compiled == "on")
    assert shapes <= set(widths) if widths else any(shape % MULTIPLE for shape in shapes)
