"""Encoders: what they promise about every pixel."""

import math

import pytest
import torch

from accelsim.training.encoders import direct, encoder, rate, ttfs


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_direct_encoding_is_one_static_frame():
    images = torch.rand(3, 1, 4, 4)
    assert torch.equal(direct(images), images[None])


def test_rates_lie_within_binomial_bounds():
    """Every pixel's count over T timesteps is binomial; five standard deviations, 160 pixels."""
    images = torch.linspace(0, 1, 160).reshape(2, 1, 8, 10)
    timesteps = 4000
    counts = rate(images, timesteps, generator()).sum(dim=0)
    allowed = 5 * torch.sqrt(timesteps * images * (1 - images))
    assert bool(((counts - timesteps * images).abs() <= allowed + 1e-3).all())
    assert counts[images == 0].sum() == 0
    assert bool((counts[images == 1] == timesteps).all())


def test_spikes_of_different_timesteps_and_pixels_are_independent():
    spikes = rate(torch.full((1, 1, 1, 2), 0.5), 20_000, generator())[:, 0, 0, 0]
    for a, b in ((spikes[:, 0], spikes[:, 1]), (spikes[1:, 0], spikes[:-1, 0])):
        covariance = float((a * b).mean() - a.mean() * b.mean())
        assert abs(covariance) < 5 * 0.25 / math.sqrt(20_000)


def test_a_seed_decides_the_spikes():
    images = torch.rand(4, 1, 6, 6, generator=generator(9))
    first, again, other = (rate(images, 5, generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert set(first.unique().tolist()) == {0.0, 1.0}


def test_first_spike_times_by_hand():
    pixels = torch.tensor([1.0, 0.9, 0.6, 0.3, 0.01, 0.0]).reshape(1, 1, 1, 6)
    spikes = ttfs(pixels, 4)
    times = {index: spikes[:, 0, 0, 0, index].nonzero().flatten().tolist() for index in range(6)}
    # round(3 (1 - x)): 0, 0.3 -> 0, 1.2 -> 1, 2.1 -> 2, 2.97 -> 3; black is silent
    assert times == {0: [0], 1: [0], 2: [1], 3: [2], 4: [3], 5: []}


def test_every_pixel_but_the_black_ones_fires_once_and_brighter_ones_not_later():
    images = torch.rand(3, 1, 8, 8, generator=generator()) * (torch.rand(3, 1, 8, 8, generator=generator(1)) > 0.3)
    spikes = ttfs(images, 6)
    assert torch.equal(spikes.sum(dim=0), (images > 0).float())
    times = spikes.argmax(dim=0)[images > 0]
    order = images[images > 0].argsort(descending=True)
    assert bool((times[order].diff() >= 0).all())


@pytest.mark.parametrize("code", [lambda x: rate(x, 3, generator()), lambda x: ttfs(x, 3)])
@pytest.mark.parametrize("pixel", [-0.1, 1.1])
def test_pixels_that_are_no_probabilities_are_refused(code, pixel):
    with pytest.raises(ValueError, match="0 to 1"):
        code(torch.full((1, 1, 2, 2), pixel))


def test_encoders_by_name():
    images = torch.rand(2, 1, 3, 3)
    assert torch.equal(encoder("direct", 4)(images, generator()), images[None])
    assert torch.equal(encoder("rate", 4)(images, generator(3)), rate(images, 4, generator(3)))
    assert torch.equal(encoder("ttfs", 4)(images, generator()), ttfs(images, 4))
    with pytest.raises(ValueError, match="'poisson' is unknown"):
        encoder("poisson", 4)
