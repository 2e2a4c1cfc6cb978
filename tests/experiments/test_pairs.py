"""Images that a network cannot tell apart."""

from __future__ import annotations

import pytest
import torch
from networks import PLAIN, Linear, wrapped

from robust_reps_ext.experiments.pairs import near_pairs
from robust_reps_ext.runtime.errors import InputError


@pytest.fixture
def half():
    """R(x) is the first half of the pixels: the rest is free."""

    class Half(Linear):
        def latent(self, x):
            return x.flatten(1)[:, :6]

    return wrapped(Half(6), PLAIN)


def test_near_pairs_agree_in_what_is_seen_and_differ_in_the_rest(half):
    images = torch.rand(3, 3, 2, 2, generator=torch.Generator().manual_seed(0)) * 0.5 + 0.2
    pairs = near_pairs(half, images, step_size=0.01, iterations=200)
    assert torch.equal(pairs.sources, images.roll(-1, 0))
    seen, start = pairs.found.flatten(1)[:, :6], images.flatten(1)[:, :6]
    torch.testing.assert_close(seen, start, atol=0.02, rtol=0)
    unseen = pairs.found.flatten(1)[:, 6:]
    torch.testing.assert_close(unseen, pairs.sources.flatten(1)[:, 6:])
    assert (pairs.distance < 0.02).all()
    torch.testing.assert_close(pairs.apart, (pairs.found - images).flatten(1).norm(dim=1))
    torch.testing.assert_close(pairs.moved, (pairs.found - pairs.sources).flatten(1).norm(dim=1))


def test_near_pairs_need_two_images_of_one_shape(half):
    one = torch.rand(1, 3, 2, 2)
    with pytest.raises(InputError, match="no other to start from"):
        near_pairs(half, one)
    with pytest.raises(InputError, match="of the same size"):
        near_pairs(half, one, sources=torch.rand(1, 3, 2, 3))
    with pytest.raises(InputError, match=r"\[0, 1\]"):
        near_pairs(half, one + 1, sources=one)
