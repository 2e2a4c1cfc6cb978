"""Measures of images: what they are for copies and for strangers, against closed forms."""

from __future__ import annotations

import pytest
import torch

import robust_reps_ext as rr
from robust_reps_ext.datasets import critters
from robust_reps_ext.experiments.resemblance import afar


@pytest.fixture(scope="module")
def targets():
    return critters.draw(5, seed=3).images / 255


def test_a_copy_is_at_1_and_a_stranger_at_chance(targets):
    found = rr.resemblance(targets, targets)
    torch.testing.assert_close(found.values, torch.ones_like(found.values), atol=1e-5, rtol=0)
    assert bool((found.ceiling < 1).all())
    assert bool((found.ceiling > 0.7).all())
    turned = rr.resemblance(targets.roll(1, dims=0), targets)
    # What is left of a stranger is one of the others, of which chance is the mean.
    assert bool((turned.values < found.ceiling).all())
    torch.testing.assert_close(found.chance.mean(1), turned.chance.mean(1), atol=0.3, rtol=0)
    assert bool((found.chance < found.ceiling).all())


def test_from_afar_is_the_correlation_of_fields():
    x = torch.rand(3, 3, 32, 64, generator=torch.Generator().manual_seed(0))
    fields = x.unfold(2, 2, 2).unfold(3, 4, 4).mean((4, 5)).flatten(1)
    other = fields.roll(1, 0)
    wanted = [torch.corrcoef(torch.stack(pair))[0, 1] for pair in zip(fields, other, strict=True)]
    torch.testing.assert_close(
        afar(x, x.roll(1, 0)).float(), torch.stack(wanted), atol=1e-5, rtol=0
    )
    # Patterns of single pixels, brightness and contrast do not count.
    pattern = 0.1 * (-1) ** torch.arange(64)
    changed = 0.5 * x + 0.2 + pattern
    torch.testing.assert_close(afar(changed, x), torch.ones(3).double(), atol=1e-5, rtol=0)
    assert afar(torch.full_like(x, 0.5), x).tolist() == [0, 0, 0]


def test_ssim_is_its_formula_where_images_are_flat():
    """Of two grey images, (2 a b + c) / (a^2 + b^2 + c) with c = 0.01^2 (Wang et al. 2004)."""
    pytest.importorskip("torchmetrics")
    a, b = 0.3, 0.6
    found = rr.resemblance(torch.full((2, 3, 64, 64), a), torch.full((2, 3, 64, 64), b))
    assert found.measures == ["from afar", "SSIM", "MS-SSIM"]
    wanted = (2 * a * b + 1e-4) / (a**2 + b**2 + 1e-4)
    torch.testing.assert_close(
        found.values[1], torch.full((2,), wanted).double(), atol=1e-3, rtol=0
    )


def test_it_is_kept_shown_and_told(targets, tmp_path):
    found = rr.resemblance(targets.flip(3), targets)
    again = rr.Resemblance.load(found.save(tmp_path / "it.safetensors"))
    assert again.to_frame().equals(found.to_frame())
    assert len(found.to_frame()) == 5
    assert "from afar" in repr(found)
    assert found.figure().axes[0].get_yticklabels()[0].get_text() == "from afar"
    assert [row[0] for row in found.rows()] == found.measures


@pytest.mark.parametrize("channels", [1, 2, 6])
def test_any_channels(channels):
    x = torch.rand(2, channels, 20, 24, generator=torch.Generator().manual_seed(1))
    found = rr.resemblance(x, x)
    assert bool(found.values.isfinite().all())
    assert bool((found.ceiling <= 1).all())


@pytest.mark.parametrize(
    ("images", "targets", "message"),
    [
        (torch.rand(3, 3, 32, 32), torch.rand(2, 3, 32, 32), "give as many, of one size"),
        (torch.rand(1, 3, 32, 32), torch.rand(1, 3, 32, 32), "give two or more"),
        (torch.rand(2, 3, 8, 32), torch.rand(2, 3, 8, 32), "of 16 pixels and more"),
        (torch.rand(2, 3, 32, 32) * 2, torch.rand(2, 3, 32, 32), "images has values"),
    ],
)
def test_what_cannot_be_compared_is_told(images, targets, message):
    with pytest.raises(rr.InputError, match=message):
        rr.resemblance(images, targets)
