"""Dropout before a head: native names, evaluation, and what plain libraries load."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn

from tests.unit.test_backbone import IMAGES, SPEC, small_net
from zoo import Backbone
from zoo.engine.heads import HEAD, add_dropout, find_head, make_head, solver_of
from zoo.errors import NameLookupError, PluginError
from zoo.registry.offers import Offer


def backbone(dropout: float, head: str = "linear") -> Backbone:
    torch.manual_seed(0)
    made = Backbone.wrap(small_net(), spec=SPEC, head="3", stages=["0", "1"])
    made.replace_head(new := make_head(find_head(head), 8, 5))
    add_dropout(new, dropout)
    return made


def test_dropout_acts_in_training_alone():
    features = torch.ones(200, 8)
    linear = find_head("linear")
    plain, dropped = make_head(linear, 8, 5), make_head(linear, 8, 5)
    add_dropout(dropped, 0.5)
    dropped.load_state_dict(plain.state_dict())
    dropped.eval()
    assert torch.equal(dropped(features), plain(features))
    dropped.train()
    outputs = dropped(features)
    assert len(outputs.unique(dim=0)) > 50
    # what is left is scaled up, so that the mean stays
    assert torch.allclose(outputs.mean(dim=0), plain(features)[0], atol=0.25)


@pytest.mark.parametrize("head", ["linear", "mlp"])
def test_names_are_those_without_dropout(head):
    plain, dropped = backbone(0.0, head), backbone(0.3, head)
    assert dropped.native_state_dict().keys() == plain.native_state_dict().keys()
    assert dict(dropped.named_parameters()).keys() == dict(plain.named_parameters()).keys()


def test_the_plain_network_loads_what_is_saved_and_says_the_same(tmp_path: Path):
    made = backbone(0.3).eval()
    safetensors.torch.save_file(made.native_state_dict(), tmp_path / "model.safetensors")
    native = small_net()
    native[3] = nn.Linear(8, 5)
    native.load_state_dict(safetensors.torch.load_file(tmp_path / "model.safetensors"))
    assert torch.equal(native.eval()(IMAGES), made(IMAGES))
    again = backbone(0.0)  # as a run is opened
    again.load_native_state_dict(
        safetensors.torch.load_file(tmp_path / "model.safetensors"), strict_head=True
    )
    assert torch.equal(again.eval()(IMAGES), made(IMAGES))
    assert torch.equal(made.native_network().eval()(IMAGES), made(IMAGES))


def test_it_follows_the_backbone_into_training_and_is_copied_with_it():
    made = backbone(0.5)
    made.freeze()  # so that nothing else is random
    features = made.eval().features(IMAGES)
    for head in (made.head, copy.deepcopy(made).head, pickle.loads(pickle.dumps(made.head))):
        head.train()
        assert not torch.equal(head(features), head(features))
        head.eval()
        assert torch.equal(head(features), head(features))
    made.train()
    assert not torch.equal(made(IMAGES), made(IMAGES))


def offered(factory) -> Offer:
    return Offer(kind=HEAD, bare="odd", plugin="acme", given=factory)


@pytest.mark.parametrize(
    ("factory", "fact"),
    [
        (lambda width, outputs: [width, outputs], "returned list, not a torch.nn.Module"),
        (lambda width, outputs: nn.Linear(outputs, width), "raised RuntimeError: mat1"),
        (lambda width, outputs: nn.Linear(width, outputs + 1), r"returned \(2, 6\).*\(2, 5\)"),
        (lambda width, outputs: nn.LSTM(width, outputs), "returned tuple"),
        (lambda width: nn.Linear(width, 5), "raised TypeError"),
    ],
)
def test_a_plugins_head_that_does_not_fit_names_the_plugin(factory, fact):
    with pytest.raises(PluginError, match=f"'acme' is broken: its head 'acme/odd' {fact}"):
        make_head(offered(factory), 8, 5)


def test_only_plain_linear_heads_are_solved_for_unless_a_head_says_so():
    class Mine(nn.Linear):
        pass

    def solver(factory) -> str:
        offer = offered(factory)
        return solver_of(make_head(offer, 8, 5), offer)

    def declaring(name):
        def factory(width, outputs):
            head = Mine(width, outputs)
            head.solver = name
            return head

        return factory

    assert solver(nn.Linear) == "lbfgs"
    assert solver(Mine) == solver(find_head("mlp").value) == "adamw"
    assert solver(declaring("lbfgs")) == "lbfgs"
    with pytest.raises(PluginError, match=r"solver = 'sgd'; it must be one of adamw, lbfgs"):
        solver(declaring("sgd"))


def test_an_unknown_head_is_named_with_the_nearest():
    with pytest.raises(NameLookupError, match=r"'liner'.*'linear'"):
        find_head("liner")
