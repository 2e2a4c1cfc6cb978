"""The Gaussian of a class: mean and covariance are those of the images, draws have them, files."""

from __future__ import annotations

import pytest
import torch

from robust_reps_ext.experiments.gaussians import ClassGaussians, fit_gaussians
from robust_reps_ext.runtime.errors import InputError


def drawn(n, seed=0, channels=1, size=4):
    """Images of two classes, whose mean is far apart, in [0, 1]."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % 2
    images = (
        torch.rand(n, channels, size, size, generator=generator) / 2 + labels.view(-1, 1, 1, 1) / 2
    )
    return images, labels


@pytest.mark.parametrize("n", [6, 400])  # fewer images than coordinates, and many times as many
def test_mean_and_covariance_are_those_of_the_downsampled_images(n):
    images, labels = drawn(n)
    pieces = [(images[k : k + 50], labels[k : k + 50]) for k in range(0, n, 50)]
    found = fit_gaussians(pieces, classes=2, downsample=2)
    for label in (0, 1):
        small = images[labels == label].unfold(2, 2, 2).unfold(3, 2, 2).mean((-1, -2)).flatten(1)
        assert torch.allclose(found.mean[label].flatten(), small.mean(0), atol=1e-6)
        wanted = torch.cov(small.T, correction=0)
        assert torch.allclose(found.covariance(label), wanted, atol=1e-6)
    assert found.count.tolist() == [n // 2, n // 2]


def test_draws_have_the_mean_and_the_covariance():
    images, labels = drawn(400)
    images = images / 4 + 0.375  # nothing is cut off at 0 and 1
    found = fit_gaussians([(images, labels)], classes=2, downsample=2)
    small = found.sample([1] * 4000, seed=5)[:, 0, ::2, ::2].flatten(1)
    deviation = found.covariance(1).diagonal().sqrt()
    assert ((small.mean(0) - found.mean[1].flatten()) / deviation).abs().max() < 5 / 4000**0.5
    assert (torch.cov(small.T) - found.covariance(1)).norm() < 0.1 * found.covariance(1).norm()


def test_a_draw_is_squares_in_the_box_and_belongs_to_its_number():
    found = fit_gaussians([drawn(40, channels=3, size=8)], classes=2)
    images = found.sample([0, 1, 0], seed=3)
    assert images.shape == (3, 3, 8, 8)
    assert images.min() >= 0
    assert images.max() <= 1
    assert torch.equal(
        images[:, :, ::4, ::4].repeat_interleave(4, 2).repeat_interleave(4, 3), images
    )
    assert torch.equal(found.sample([0], seed=3, first=2), images[2:])
    assert not torch.equal(found.sample([0], seed=4, first=2), images[2:])


def test_a_file_gives_it_back(tmp_path):
    found = fit_gaussians([drawn(9)], classes=3, downsample=2, fitted_on={"name": "two", "n": 9})
    again = ClassGaussians.load(found.save(tmp_path / "g.safetensors"))
    assert again.fitted_on == {"name": "two", "n": 9}
    assert torch.equal(again.sample([0, 1]), found.sample([0, 1]))
    assert repr(again).startswith("Gaussians of 2 classes, 1x2x2, of 9 images downsampled by 2")
    assert again.to_frame()["images"].tolist() == [5, 4, 0]
    again.figure()


def test_no_more_of_a_class_than_wanted():
    images, labels = drawn(40)
    found = fit_gaussians(
        [(images[:30], labels[:30]), (images[30:], labels[30:])], classes=2, most=9
    )
    first = fit_gaussians([(images[:18], labels[:18])], classes=2)
    assert found.count.tolist() == [9, 9]
    assert torch.allclose(found.mean, first.mean)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda x, y: fit_gaussians([(x, y)], classes=1), "give 0 to 0"),
        (lambda x, y: fit_gaussians([(x, y)], classes=2, downsample=3), "downsampled by 3"),
        (lambda x, y: fit_gaussians([x], classes=2), "no labels"),
        (lambda x, y: fit_gaussians([], classes=2), "no images"),
        (lambda x, y: fit_gaussians([(x, y)], classes=3).sample([2]), "class 2 has no Gaussian"),
        (lambda x, y: fit_gaussians([(x, y)], classes=2).sample([2]), "give 0 to 1"),
    ],
)
def test_what_cannot_be_is_told(make, said):
    with pytest.raises(InputError, match=said):
        make(*drawn(4))
