"""What a report calculates, on inputs whose answer is known."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from zoo import Backbone, BackboneSpec, ImageInput, TextInput, TokenOptions
from zoo.engine.progress import Quiet
from zoo.errors import RunError
from zoo.modalities.attribution import NotAttributed
from zoo.modalities.image.attribution import grad_cam
from zoo.modalities.image.showing import whereabouts
from zoo.modalities.text.attribution import integrated_gradients
from zoo.modalities.text.tokenization import TextEncoder, train_tokenizer
from zoo.runs.contests import Contest, contests, holm
from zoo.runs.predictions import EvaluatedSamples, read_predictions
from zoo.runs.reliability import calibration
from zoo.runs.report.subject import read_history
from zoo.tasks import task_named
from zoo.tasks.cases import MOST
from zoo.tasks.metrics import own_metric
from zoo.tasks.multi_label import MultiLabel
from zoo.tasks.regression import Regression
from zoo.tasks.significance import EXACT, RESAMPLES, bootstrap, mcnemar, resampled, units_of
from zoo.tasks.single_label import SingleLabel

# -- calibration -------------------------------------------------------------------------------


def test_the_calibration_error_is_the_mean_distance_of_probability_and_truth() -> None:
    outputs = np.array([[0.95, 0.05]] * 4 + [[0.35, 0.65]] * 2)
    labels = np.array([0, 0, 0, 1, 1, 0])  # three of four right at 0.95, one of two at 0.65
    found = calibration(SingleLabel(), outputs, labels)
    assert found is not None
    assert found.error == pytest.approx((4 * (0.95 - 0.75) + 2 * (0.65 - 0.5)) / 6)
    assert [b.count for b in found.bins] == [0, 0, 0, 0, 0, 0, 2, 0, 0, 4]
    assert found.bins[9].accuracy == 0.75


def test_every_decision_counts_where_several_classes_may_be() -> None:
    found = calibration(MultiLabel(), np.array([[1.0, 0.0]]), np.array([[1.0, 0.0]]))
    assert found is not None
    assert (found.count, found.error) == (2, 0.0)
    assert (found.bins[0].count, found.bins[-1].count) == (1, 1)  # 1 is in the last bin


def test_numbers_and_what_is_not_finite_have_no_calibration() -> None:
    assert calibration(Regression(), np.ones((2, 1)), np.ones((2, 1))) is None
    assert calibration(SingleLabel(), np.full((2, 2), np.nan), np.zeros(2, dtype=np.int64)) is None


# -- mistakes ----------------------------------------------------------------------------------


def _evaluated(labels: object, outputs: object) -> EvaluatedSamples:
    numbers = np.array(outputs, dtype=np.float64)
    return EvaluatedSamples(
        tuple(f"{i}.jpg" for i in range(len(numbers))), np.array(labels), numbers
    )


def test_the_most_confident_mistakes_come_first() -> None:
    evaluated = _evaluated([0, 0, 1, 1], [[0.4, 0.6], [0.9, 0.1], [0.95, 0.05], [0.2, 0.8]])
    found = SingleLabel().cases(evaluated.outputs, evaluated.labels, ["fern", "moss"])
    assert [(c.index, c.predicted, c.true, c.wrong) for c in found] == [
        (2, "fern", "moss", True),
        (0, "moss", "fern", True),
    ]
    assert found[0].confidence == pytest.approx(0.95)


def test_without_mistakes_the_least_sure_are_shown() -> None:
    evaluated = _evaluated([0] * 20, [[0.99 - i / 100, 0.01 + i / 100] for i in range(20)])
    found = SingleLabel().cases(evaluated.outputs, evaluated.labels, ["fern", "moss"])
    assert [c.index for c in found] == [19, 18, 17, 16, 15, 14]
    assert not any(c.wrong for c in found)
    wrong = _evaluated([1] * 20, [[0.9, 0.1]] * 20)
    assert len(SingleLabel().cases(wrong.outputs, wrong.labels, ["a", "b"])) == MOST


def test_of_several_classes_the_most_wrong_decision_is_named() -> None:
    evaluated = _evaluated([[1.0, 0.0, 1.0]], [[0.9, 0.8, 0.1]])
    (found,) = MultiLabel().cases(evaluated.outputs, evaluated.labels, ["red", "round", "old"])
    assert (found.decision, found.output) == ("old missed", 2)
    assert (found.predicted, found.true) == ("red, round", "red, old")
    assert found.confidence == pytest.approx(0.1)  # of the class that was missed


def test_the_largest_error_is_measured_by_the_spread_of_its_column() -> None:
    evaluated = _evaluated(
        [[1.0, 1000.0], [2.0, 2000.0], [3.0, 3000.0]], [[1, 1100], [4, 2000], [3, 3000]]
    )
    found = Regression().cases(evaluated.outputs, evaluated.labels, ["age", "price"])
    assert [(c.index, c.predicted, c.true) for c in found[:2]] == [
        (1, "age 4", "2"),
        (0, "price 1100", "1000"),
    ]


def test_outputs_that_are_no_numbers_are_left_out() -> None:
    evaluated = _evaluated([0, 1], [[np.nan, np.nan], [0.7, 0.3]])
    assert [
        c.index for c in SingleLabel().cases(evaluated.outputs, evaluated.labels, ["a", "b"])
    ] == [1]


# -- where it looked ---------------------------------------------------------------------------


class Corner(nn.Module):
    """Its features are those of the upper left quarter; maps come in one of three layouts."""

    def __init__(self, layout: str) -> None:
        super().__init__()
        self.layout = layout
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.body = Laid(layout)
        self.last = Laid(layout)
        self.relu = nn.ReLU(inplace=True)  # changes what it is given, as many networks do
        nn.init.constant_(self.stem.weight, 0.1)
        nn.init.zeros_(self.stem.bias)

    def forward(self, pixels: Tensor) -> Tensor:
        maps = self.relu(self.last(self.relu(self.body(self.stem(pixels)))))
        if self.layout == "tokens":
            first, places = maps[:, :1], maps[:, 1:].unflatten(1, (8, 8))
            return places[:, :4, :4].mean(dim=(1, 2)) + 0 * first[:, 0]
        if self.layout == "last":
            return maps[:, :4, :4].mean(dim=(1, 2))
        return maps[:, :, :4, :4].mean(dim=(2, 3))


class Laid(nn.Module):
    """A 1x1 convolution whose output is maps, maps with channels last, or tokens behind one other."""

    def __init__(self, layout: str) -> None:
        super().__init__()
        self.layout, self.linear = layout, nn.Linear(4, 4)
        nn.init.eye_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, given: Tensor) -> Tensor:
        if self.layout == "tokens" and given.ndim == 4:
            given = given.flatten(2).transpose(1, 2)  # (B, 64, 4)
            given = torch.cat([given.mean(dim=1, keepdim=True), given], dim=1)
        elif self.layout == "last" and given.shape[1] == 4 and given.shape[-1] != 4:
            given = given.permute(0, 2, 3, 1)
        if self.layout == "first":
            return self.linear(given.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        made: Tensor = self.linear(given)
        return made


def _corner(layout: str, prefix_tokens: int | None = None) -> Backbone:
    spec = BackboneSpec(
        name="test/corner",
        modality="image",
        feature_dim=4,
        params=0,
        input=ImageInput(size=8),
        loader="nowhere:load",
    )
    backbone = Backbone.wrap(
        Corner(layout),
        spec=spec,
        head="head",
        stages=["stem", "body", "last"],
        tokens=TokenOptions(prefix=prefix_tokens),
    )
    backbone.replace_head(2)
    nn.init.constant_(backbone.head.weight, 1.0)
    backbone.freeze()  # a frozen network has a map too
    return backbone.eval()


@pytest.mark.parametrize(("layout", "prefix"), [("first", None), ("last", None), ("tokens", 1)])
def test_the_map_lies_where_the_answer_comes_from(layout: str, prefix: int | None) -> None:
    pixels = torch.zeros(3, 3, 8, 8)
    pixels[:, :, :4, :4] = 1
    heat = grad_cam(_corner(layout, prefix), pixels, [0, 1, 1])
    assert (heat.layer, heat.grid) == ("last", 8)
    assert heat.maps.shape == (3, 8, 8)
    assert heat.maps.max() == pytest.approx(1)
    for one in heat.maps:
        assert one[:3, :3].min() > 0.3
        assert one[5:].max() < 0.1
        assert whereabouts(one) == "the upper left part"


def test_tokens_are_places_only_where_the_backbone_says_so() -> None:
    with pytest.raises(NotAttributed, match="feature maps"):
        grad_cam(_corner("tokens"), torch.rand(1, 3, 8, 8), [0])


def test_whereabouts_are_reported_in_words() -> None:
    heat = np.zeros((9, 9), dtype=np.float32)
    assert whereabouts(heat) == ""
    heat[4, 4] = 1
    assert whereabouts(heat) == "the middle"
    assert whereabouts(np.ones((9, 9), dtype=np.float32)) == "nearly all of it"
    low = np.zeros((9, 9), dtype=np.float32)
    low[8, 4] = 1
    assert whereabouts(low) == "the lower part"


class Bag(nn.Module):
    """The mean of token vectors."""

    def __init__(self, rows: int) -> None:
        super().__init__()
        self.table = nn.Embedding(rows, 2, padding_idx=0)
        nn.init.zeros_(self.table.weight)


def _bag(rows: int, token_embedding: str = "") -> Backbone:
    spec = BackboneSpec(
        name="test/bag",
        modality="text",
        feature_dim=2,
        params=0,
        input=TextInput(max_length=32, vocab_size=rows, own_tokenizer=False),
        loader="nowhere:load",
    )
    backbone = Backbone.wrap(
        Bag(rows),
        spec=spec,
        head="head",
        stages=["table"],
        extract=lambda net, batch: net.table(batch["input_ids"]).mean(dim=1),  # type: ignore[operator, union-attr]
        tokens=TokenOptions(embedding=token_embedding),
    )
    backbone.replace_head(nn.Identity())
    return backbone.eval()


def test_the_word_that_decides_is_the_heaviest() -> None:
    texts = ["a good film", "a dull film", "a film", "good film"] * 4
    tokenizer = train_tokenizer(texts, vocab_size=200)
    backbone = _bag(tokenizer.get_vocab_size())
    table = backbone.net.get_submodule("table").weight.data
    for word, value in (("good", 3.0), ("dull", -2.0)):
        table[tokenizer.encode(word).ids, 1] = value / len(tokenizer.encode(word).ids)
    encoder = TextEncoder(tokenizer, backbone.spec.text_input)
    asked = ["A good, dull film", ("film", "good")]
    if tokenizer.num_special_tokens_to_add(True) == 0:
        asked = asked[:1]
    reading = integrated_gradients(backbone, encoder, asked, [1] * len(asked), torch.device("cpu"))
    (pieces,) = reading.pieces[0]
    assert "".join(piece.text for piece in pieces) == "A good, dull film"
    weights = {piece.text: round(piece.weight, 3) for piece in pieces}
    assert weights["good"] == 1
    assert weights["dull"] == pytest.approx(-2 / 3, abs=0.01)
    assert weights["film"] == 0


def test_a_network_without_a_known_embedding_says_so() -> None:
    backbone = _bag(7)
    backbone.net.table = nn.Embedding(9, 2)  # type: ignore[assignment]
    with pytest.raises(NotAttributed, match="token embedding"):
        integrated_gradients(backbone, SimpleNamespace(), ["x"], [0], torch.device("cpu"))  # type: ignore[arg-type]
    assert _bag(7, "table").token_embedding() is not None


# -- comparing ---------------------------------------------------------------------------------


def test_mcnemar_is_exact_for_few_and_corrected_for_many() -> None:
    name, p = mcnemar(1, 8)  # 2 * (1 + 9) / 2**9
    assert (name, p) == ("mcnemar-exact", pytest.approx(20 / 512))
    name, p = mcnemar(15, 35)  # (|15 - 35| - 1)² / 50 = 7.22
    assert (name, round(p, 5)) == ("mcnemar-corrected", 0.00721)
    assert mcnemar(0, 0) == ("mcnemar-exact", 1.0)
    assert mcnemar(EXACT, 0)[0] == "mcnemar-exact"
    assert mcnemar(EXACT + 1, 0)[0] == "mcnemar-corrected"


def test_a_bootstrap_gives_the_interval_of_a_difference_and_its_p_value() -> None:
    draw = np.random.default_rng(3)
    noise = draw.normal(size=(2, 200))
    ticks: list[int] = []
    units = units_of(None, 200)
    means = [
        resampled(lambda chosen, of=of: float(of[chosen].mean()), units, lambda: ticks.append(1))
        for of in (noise[0], noise[0] + 0.1 * noise[1], noise[0] + 0.1 * noise[1] + 0.05)
    ]
    assert len(ticks) == 3 * RESAMPLES
    assert bootstrap(means[0] - means[0]) == (1.0, (0.0, 0.0))
    p, interval = bootstrap(means[1] - means[0])
    assert interval is not None
    assert (p > 0.05, interval[0] < 0 < interval[1]) == (True, True)
    p, interval = bootstrap(means[2] - means[0])
    assert p == pytest.approx(2 / (RESAMPLES + 1))
    difference, error = 0.05 + 0.1 * noise[1].mean(), 0.1 * noise[1].std() / math.sqrt(200)
    assert interval == pytest.approx(
        (difference - 1.96 * error, difference + 1.96 * error), abs=0.3 * error
    )
    assert bootstrap(np.array([math.nan, math.nan, 1.0])) == (1.0, None)


def test_runs_are_compared_by_groups_whose_samples_are_not_independent() -> None:
    draw = np.random.default_rng(5)
    names = np.repeat([f"patient {number}" for number in range(30)], 10)
    labels = draw.integers(0, 2, 300)
    better = np.repeat(draw.random(30) < 0.5, 10)  # the second run is right on whole patients
    right = np.stack([np.repeat(draw.random(30) < 0.4, 10), better])
    inputs = tuple(map(str, range(300)))
    evaluated = [
        EvaluatedSamples(inputs, labels, np.eye(2)[np.where(own, labels, 1 - labels)], groups)
        for groups in (None, names)
        for own in right
    ]
    task = task_named("single-label")
    alone, grouped = (
        contests(task, some, ("a", "b"), Quiet())[0] for some in (evaluated[:2], evaluated[2:])
    )
    assert (alone.name, grouped.name) == ("mcnemar-corrected", "bootstrap-groups")
    assert (alone.better, alone.worse) == (grouped.better, grouped.worse)
    assert grouped.p > alone.p
    by_patient = (right[1] * 1.0 - right[0]).reshape(30, 10).mean(axis=1)
    difference, error = by_patient.mean(), by_patient.std() / math.sqrt(30)
    assert grouped.interval == pytest.approx(
        (difference - 1.96 * error, difference + 1.96 * error), abs=0.3 * error
    )
    assert bootstrap(np.array([math.nan, 1.0, 1.0, 1.0])) == (0.5, (1.0, 1.0))


def test_a_task_computes_its_selection_metric_alone() -> None:
    outputs = np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6]])
    labels = np.array([0, 1, 0])
    task = SingleLabel()
    logits = task.encode(outputs)
    for key in ("accuracy", "auroc", "loss"):
        chosen = task.selecting(own_metric(key))
        expected = chosen.compute_metrics(logits, labels)[key]
        assert chosen.value(outputs, labels, ["a", "b"]) == pytest.approx(expected)


def test_holm_multiplies_the_smallest_most_and_never_falls() -> None:
    given = [Contest("mcnemar-exact", 0, 0, p, p) for p in (0.04, 0.01, 0.03)]
    assert [c.p_holm for c in holm(given)] == pytest.approx([0.06, 0.03, 0.06])


@pytest.mark.parametrize(
    "task", [SingleLabel(), MultiLabel(), Regression(mean=(1.0, 2.0), std=(0.5, 3.0))]
)
def test_what_is_said_can_be_turned_back_into_logits(task: SingleLabel) -> None:
    logits = torch.tensor([[1.0, -2.0], [0.5, 40.0]], dtype=torch.float64)
    said = task.decode(logits)
    assert np.allclose(task.decode(task.encode(said)), said, atol=1e-12)


# -- files that are damaged --------------------------------------------------------------------


def test_damaged_predictions_and_histories_are_reported(tmp_path: Path) -> None:
    path = tmp_path / "predictions.parquet"
    with pytest.raises(RunError, match="does not exist") as missing:
        read_predictions(path, ["a"], task=SingleLabel())
    assert "--data" in missing.value.hint
    path.write_bytes(b"PAR1 nothing")
    with pytest.raises(RunError, match=r"predictions\.parquet is damaged"):
        read_predictions(path, ["a"], task=SingleLabel())
    history = tmp_path / "metrics.jsonl"
    assert read_history(history) == []
    for text, words in (("{", "cannot be read"), ("[1]\n", "a line does not describe an epoch")):
        history.write_text(text)
        with pytest.raises(RunError, match=words):
            read_history(history)
