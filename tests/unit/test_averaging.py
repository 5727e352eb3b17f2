"""The moving average of what trains."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from zoo.engine.averaging import Average
from zoo.errors import RunError


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


def walk(net: nn.Module, average: Average, steps: int) -> list[torch.Tensor]:
    """Some steps of training; gives the last layer's weights after each."""
    seen = []
    for step in range(steps):
        with torch.no_grad():
            for parameter in net.parameters():
                generator = torch.Generator().manual_seed(step)
                parameter.add_(torch.randn(parameter.shape, generator=generator))
        average.update()
        seen.append(net[2].weight.detach().clone())
    return seen


def test_the_average_is_that_of_the_formula_with_a_decay_that_rises():
    net = network()
    expected = net[2].weight.detach().double().clone()
    average = Average(net, decay=0.3)
    for n, weight in enumerate(walk(net, average, 8)):
        decay = min(0.3, (1 + n) / (10 + n))  # 0.1, 0.18, 0.25, then 0.3
        expected = decay * expected + (1 - decay) * weight.double()
    with average.applied():
        assert torch.allclose(net[2].weight.double(), expected, atol=1e-5)


def test_after_the_block_everything_is_as_it_was_to_the_bit():
    net = network()
    average = Average(net, decay=0.99)
    walk(net, average, 3)
    before = {k: v.clone() for k, v in net.state_dict().items()}
    averaged = {k: v.clone() for k, v in average.state_dict().items()}
    places = [p.data_ptr() for p in net.parameters()]
    with average.applied():
        assert not torch.equal(net[2].weight, before["2.weight"])
        assert torch.equal(net[2].weight, averaged["2.weight"])
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    assert all(torch.equal(v, averaged[k]) for k, v in average.state_dict().items())
    assert [p.data_ptr() for p in net.parameters()] == places


def test_an_error_in_the_block_leaves_the_network_as_it_was():
    net = network()
    average = Average(net, decay=0.99)
    walk(net, average, 2)
    before = net[0].weight.clone()
    with pytest.raises(KeyError), average.applied():
        raise KeyError
    assert torch.equal(net[0].weight, before)


def test_buffers_and_frozen_parameters_stay_the_networks_own():
    net = network()
    net[0].requires_grad_(False)
    average = Average(net, decay=0.9)
    assert average.state_dict().keys() == {"1.weight", "1.bias", "2.weight", "2.bias", "count"}
    walk(net, average, 2)
    net[1].running_mean.fill_(7.0)
    frozen = net[0].weight.clone()
    with average.applied():
        assert (net[1].running_mean == 7.0).all()
        assert torch.equal(net[0].weight, frozen)


def test_an_average_that_goes_on_ends_with_the_same_bits():
    net = network()
    whole = Average(net, decay=0.5)
    walk(net, whole, 3)
    saved = {k: v.clone() for k, v in whole.state_dict().items()}
    resumed = Average(net, decay=0.5)
    resumed.load_state_dict(saved)
    for step in range(4):
        with torch.no_grad():
            net[2].weight.mul_(1.5 + step)
        whole.update()
        resumed.update()
    ours, theirs = resumed.state_dict(), whole.state_dict()
    assert ours["count"] == 7
    assert all(torch.equal(ours[k], theirs[k]) for k in theirs)
    assert all(type(v) is torch.Tensor and not v.requires_grad for v in ours.values())


def test_a_state_that_is_loaded_is_copied():
    net = network()
    average = Average(net, decay=0.5)
    saved = {k: v.clone() for k, v in average.state_dict().items()}
    average.load_state_dict(saved)
    before = saved["2.weight"].clone()
    walk(net, average, 2)
    assert torch.equal(saved["2.weight"], before)


def test_a_state_of_other_parameters_is_refused():
    average = Average(network(), decay=0.5)
    state = average.state_dict()
    for changed in (
        {k: v for k, v in state.items() if k != "2.bias"},
        {**state, "2.bias": torch.zeros(3)},
    ):
        with pytest.raises(RunError, match=r"2\.bias"):
            average.load_state_dict(changed)
    with pytest.raises(RunError, match=r"3\.weight") as error:
        average.load_state_dict({**state, "3.weight": torch.zeros(1)})
    assert error.value.hint
