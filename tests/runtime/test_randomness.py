"""What is drawn for an image: its number and the seed decide it, no batch and no other image."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from robustness.attacker import AttackerModel
from torch import nn

import robust_reps_ext as rr
from robust_reps_ext.runtime.randomness import NOISE, NUDGE, normal, uniform
from robust_reps_ext.synthesis import noise

STATISTICS = SimpleNamespace(mean=torch.full((3,), 0.5), std=torch.full((3,), 0.25))


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Conv2d(3, 8, 3, stride=2)
        self.fc = nn.Linear(8, 2)

    def forward(self, x, with_latent=False, fake_relu=False, no_relu=False):
        latent = self.body(x).relu().mean((2, 3))
        return (self.fc(latent), latent) if with_latent else self.fc(latent)


def model_of(network):
    torch.manual_seed(0)
    return AttackerModel(network(), STATISTICS).eval()


@given(
    st.lists(st.integers(0, 10**9), min_size=1, max_size=5, unique=True),
    st.integers(0, 2**63 - 1),
)
@settings(deadline=None, max_examples=30)
def test_an_image_is_drawn_by_its_number(numbers, seed):
    together = normal(numbers, (2, 3), seed=seed, stream=NOISE)
    for number, one in zip(numbers, together, strict=True):
        assert torch.equal(one, normal([number], (2, 3), seed=seed, stream=NOISE)[0])
    assert not torch.equal(together, normal(numbers, (2, 3), seed=seed, stream=NUDGE))
    assert len({tuple(one.flatten().tolist()) for one in together}) == len(numbers)


def test_the_draws_are_normal_and_independent():
    drawn = normal(range(200), (500,), seed=0, stream=NOISE)
    assert abs(float(drawn.mean())) < 0.01
    assert float(drawn.std()) == pytest.approx(1, abs=0.01)
    between = drawn @ drawn.T / 500 - torch.eye(200)
    assert float(between.fill_diagonal_(0).abs().max()) < 0.25  # 5.6 standard deviations


MASK = 2**64 - 1


def splitmix(key, place):
    """SplitMix64 in whole numbers, as published."""
    z = (key + place * 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


@given(st.integers(0, 2**62), st.lists(st.integers(0, 2**40), min_size=1, max_size=6))
@settings(deadline=None, max_examples=50)
def test_uniform_numbers_are_splitmix64s(key, numbers):
    drawn = uniform(key, torch.tensor(numbers), 4)
    expected = [[(splitmix(key, 4 * n + i) >> 40) / 2**24 for n in numbers] for i in range(1, 5)]
    torch.testing.assert_close(drawn, torch.tensor(expected), atol=0, rtol=0)


def test_splitmix64_gives_its_published_first_number():
    assert splitmix(1234567, 1) == 6457827717110365317


@pytest.mark.parametrize("cut", [1, 2, 5])
def test_noise_is_the_same_in_parts(cut):
    like = torch.empty(6, 3, 5, 7)
    whole = noise(like, seed=4)
    parts = [noise(like[:cut], seed=4), noise(like[cut:], seed=4, first=cut)]
    assert torch.equal(torch.cat(parts), whole)
    assert not torch.equal(whole[0], whole[1])


@pytest.mark.parametrize("seed", [-1, 2**63, 0.5])
def test_bad_seeds_are_named(seed):
    with pytest.raises(rr.InputError, match=f"seed={seed}"):
        noise(torch.empty(1, 3, 4, 4), seed=seed)


def assert_parts_are_the_whole(run, n, cut=2):
    """`run(slice, first, batch_size)` in parts and in batches, against all in one."""
    whole = run(slice(0, n), 0, 32)
    first, second = run(slice(0, cut), 0, 32), run(slice(cut, n), cut, 32)
    for other in (torch.cat([first, second]), run(slice(0, n), 0, 1), run(slice(0, n), 0, 4)):
        torch.testing.assert_close(whole, other, atol=1e-5, rtol=0)
    return whole


@pytest.mark.parametrize("schedule", ["paper", "cosine-momentum", "lbfgs"])
def test_inversions_from_noise_are_the_same_in_parts_and_in_batches(schedule):
    model, targets = model_of(Small), torch.rand(6, 3, 12, 12)

    def run(rows, first, batch_size):
        result = rr.invert(
            model, targets[rows], iterations=4, step_size=0.2, seed=7, first=first,
            batch_size=batch_size, schedule=schedule,
        )  # fmt: skip
        assert torch.equal(result.start, noise(targets, seed=7)[first : first + len(result)])
        assert result.settings["first"] == first
        return result.images

    assert_parts_are_the_whole(run, 6)


class Dead(Small):
    """Grey has no gradient."""

    def forward(self, x, with_latent=False, fake_relu=False, no_relu=False):
        latent = x.relu().flatten(1)[:, :50]
        return (self.fc(latent[:, :8]), latent) if with_latent else self.fc(latent[:, :8])


def test_nudges_are_the_same_in_parts_and_in_batches():
    model, targets = model_of(Dead), torch.rand(5, 3, 8, 8)

    def run(rows, first, batch_size):
        with pytest.warns(UserWarning, match="no gradient"):
            return rr.invert(
                model, targets[rows], start="grey", iterations=3, step_size=0.1, seed=7,
                first=first, batch_size=batch_size,
            ).images  # fmt: skip

    whole = assert_parts_are_the_whole(run, 5)
    assert len({float(one.std()) for one in whole}) == 5


def test_radii_share_the_nudge_of_their_pair():
    model, targets = model_of(Dead), torch.rand(3, 3, 8, 8)
    grey = torch.full_like(targets, 0.5)

    def run(rows, first, batch_size):
        with pytest.warns(UserWarning, match="no gradient"):
            curve = rr.invert_within(
                model, targets[rows], grey[rows], radii=(0.5, 2), iterations=3, seed=7,
                first=first, batch_size=batch_size,
            )  # fmt: skip
        return curve.images.transpose(0, 1)

    assert_parts_are_the_whole(run, 3)


def test_transforms_are_the_same_in_parts_and_in_batches():
    model, seeds = model_of(Small), torch.rand(4, 3, 12, 12)

    def run(rows, first, batch_size, coordinates=(1, 3, 5)):
        found = rr.visualize(
            model, coordinates=coordinates, seeds=seeds[rows], transform="jitter:3,rotate,scale",
            iterations=4, step_size=0.2, seed=7, first=first, batch_size=batch_size,
        )  # fmt: skip
        return found.images

    whole = assert_parts_are_the_whole(run, 4)
    one = run(slice(1, 2), 1, 32, coordinates=[3])
    torch.testing.assert_close(one[0, 0], whole[1, 1], atol=1e-5, rtol=0)
    still = rr.visualize(model, coordinates=[1], seeds=seeds, iterations=4, step_size=0.2).images
    assert not torch.allclose(still, whole[:, :1], atol=1e-3)


@pytest.mark.parametrize("first", [-1, 0.5])
def test_a_bad_first_number_is_named(first):
    with pytest.raises(rr.InputError, match=f"first={first}"):
        rr.invert(model_of(Small), torch.rand(1, 3, 12, 12), iterations=1, first=first)
