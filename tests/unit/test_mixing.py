"""Images of a batch mixed with each other."""

from __future__ import annotations

import pytest
import torch

from zoo.engine.mixing import Mixer


def batch(count: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    """Images that are the number of their class all over."""
    classes = torch.arange(count) % 3
    return classes.float().view(-1, 1, 1, 1).expand(count, 3, 8, 8).contiguous(), classes


def mixer(mixup: float = 0.0, cutmix: float = 0.0, seed: int = 0) -> Mixer:
    return Mixer(mixup, cutmix, 3, seed)


def blended(pixels: torch.Tensor) -> bool:
    """Whether images hold values between those of two."""
    return bool((pixels != pixels.round()).any())


@pytest.mark.parametrize(("mixup", "cutmix"), [(0.8, 0.0), (0.0, 1.0)])
def test_targets_are_mixed_in_the_proportion_of_the_pixels(mixup, cutmix):
    pixels, classes = batch()
    for step in range(20):
        mixed, soft = mixer(mixup, cutmix)(pixels, classes, step)
        assert soft.shape == (4, 3)
        assert soft.dtype == torch.float32
        assert torch.allclose(soft.sum(dim=1), torch.ones(4))
        # an image's mean is the mean number of its classes
        expected = soft @ torch.arange(3.0)
        assert torch.allclose(mixed.mean(dim=(1, 2, 3)), expected, atol=1e-5)
        assert blended(mixed) == bool(mixup)


def test_something_is_mixed_and_the_given_batch_is_not_changed():
    pixels, classes = batch()
    before = pixels.clone()
    shares = [mixer(1.0, 1.0)(pixels, classes, step)[1].max(dim=1).values for step in range(20)]
    assert (torch.stack(shares) < 0.9).any()
    assert torch.equal(pixels, before)


def test_with_both_each_batch_takes_one_of_the_two_at_random():
    pixels, classes = batch()
    mix = mixer(1.0, 1.0)
    kinds = [blended(mix(pixels, classes, step)[0]) for step in range(60)]
    assert 15 < sum(kinds) < 45


def test_seed_and_step_decide_and_torchs_own_state_stays():
    pixels, classes = batch()
    state = torch.get_rng_state()
    first = mixer(1.0, 1.0)(pixels, classes, 5)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(3)
    again = mixer(1.0, 1.0)(pixels, classes, 5)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    for other in (mixer(1.0, 1.0)(pixels, classes, 6), mixer(1.0, 1.0, seed=1)(pixels, classes, 5)):
        assert not torch.equal(first[1], other[1])


def test_a_batch_of_one_stays_as_it_is():
    _, classes = batch(1)
    pixels = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    for step in range(8):
        mixed, soft = mixer(0.8, 1.0)(pixels, classes, step)
        assert torch.equal(mixed, pixels)
        assert soft.tolist() == [[1.0, 0.0, 0.0]]


def test_without_an_alpha_nothing_is_mixed():
    pixels, classes = batch()
    mixed, soft = mixer()(pixels, classes, 0)
    assert torch.equal(mixed, pixels)
    assert soft.argmax(dim=1).tolist() == classes.tolist()


def test_several_labels_are_mixed_as_they_are():
    pixels, _ = batch()
    labels = torch.tensor([[1.0, 1, 0], [0, 0, 0], [0, 1, 1], [1, 0, 0]])
    mixed, soft = mixer(mixup=1.0)(pixels, labels, 1)
    share = (mixed[1] - pixels[0]).mean() / (pixels[1] - pixels[0]).mean()  # of the second image
    assert 0.01 < share < 0.99
    assert torch.allclose(soft, share * labels + (1 - share) * labels.roll(1, 0), atol=1e-5)


def test_pixels_keep_their_layout_in_memory():
    pixels, classes = batch()
    last = pixels.contiguous(memory_format=torch.channels_last)
    for step in range(8):
        mixed, _ = mixer(1.0, 1.0)(last, classes, step)
        assert mixed.is_contiguous(memory_format=torch.channels_last)
        assert mixer(1.0, 1.0)(pixels, classes, step)[0].is_contiguous()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_a_batch_is_mixed_there_as_on_the_cpu():
    pixels, classes = batch()
    for step in range(8):
        here = mixer(1.0, 1.0)(pixels, classes, step)
        there = mixer(1.0, 1.0)(
            pixels.cuda().contiguous(memory_format=torch.channels_last), classes.cuda(), step
        )
        assert all(tensor.is_cuda for tensor in there)
        assert there[0].is_contiguous(memory_format=torch.channels_last)
        assert all(torch.allclose(a, b.cpu()) for a, b in zip(here, there, strict=True))
