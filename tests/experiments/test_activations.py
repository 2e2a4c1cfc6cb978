"""What activates every coordinate: one pass, parts put together, and the page of it."""

from __future__ import annotations

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import robust_reps_ext as rr
from robust_reps_ext.datasets.critters.networks import CrittersResNet
from robust_reps_ext.experiments.activations import extremes, merged
from robust_reps_ext.results.activations import Activations, Extreme, from_rows, to_rows
from robust_reps_ext.runtime.errors import InputError

SIZE = 256


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return rr.load_model(CrittersResNet(width=8), dataset="critters")


@pytest.fixture(scope="module")
def images():
    return torch.rand(40, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def equal(one: Activations, other: Activations) -> bool:
    ends = [(one.most, other.most), (one.least, other.least)]
    return (one.seen, one.k) == (other.seen, other.k) and all(
        torch.equal(getattr(a, name), getattr(b, name)) for a, b in ends for name in vars(a)
    )


def of_values(values: torch.Tensor, index: list[int], k: int) -> Activations:
    """What a pass over images with these values, (coordinates, images), finds at these places."""
    columns = sorted(index)
    ends = []
    for sign in (-1, 1):
        chosen = [
            sorted(columns, key=lambda i, row=row: (sign * float(row[i]), i))[:k] for row in values
        ]
        picked = torch.tensor(chosen).reshape(len(values), -1)
        ends.append(
            Extreme(picked[..., None].float(), values.gather(1, picked), picked, picked % 3)
        )
    return Activations(torch.arange(len(values)), *ends, seen=len(index), k=k)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_merging_any_split_in_any_order_is_the_whole(data):
    """Few different values, so that many are equal."""
    n = data.draw(st.integers(1, 12))
    k = data.draw(st.integers(1, 4))
    draw = st.lists(st.integers(0, 3), min_size=2 * n, max_size=2 * n)
    values = torch.tensor(data.draw(draw)).float().view(2, n)
    parts: list[list[int]] = [[], [], []]
    for i in range(n):
        parts[data.draw(st.integers(0, 2))].append(i)
    found = [of_values(values, part, k) for part in data.draw(st.permutations(parts)) if part]
    whole = of_values(values, list(range(n)), k)
    assert equal(merged(*found), whole)
    if len(found) == 3:
        first, second, third = found
        assert equal(merged(first, merged(second, third)), merged(merged(first, second), third))


def test_all_coordinates_in_one_pass_are_those_of_a_sort(model, images):
    labels = torch.arange(40)
    batches = list(zip(images.split(7), labels.split(7), strict=True))
    found = rr.most_activating(model, batches, coordinates="all", k=3)
    latent = torch.cat([rr.representation(model, batch) for batch, _ in batches])
    for kept, largest in ((found.most, True), (found.least, False)):
        value, place = latent.sort(dim=0, descending=largest, stable=True)
        torch.testing.assert_close(kept.value, value[:3].T)
        assert torch.equal(kept.index, place[:3].T)
        assert torch.equal(kept.label, kept.index)
    assert found.coordinates.tolist() == list(range(SIZE))
    assert found.most.images.numel() == 0  # memory does not grow with what is seen
    asked = rr.most_activating(model, batches, coordinates=[5, 9], k=3)
    assert torch.equal(asked.most.index, found.most.index[[5, 9]])
    assert torch.equal(asked.most.images, images[asked.most.index])


def test_parts_of_a_data_set_are_put_together_through_json(model, images):
    whole = rr.most_activating(model, images.split(10), coordinates="all", k=3)
    rows = []
    for first, stop in ((0, 30), (30, 38), (38, 40)):  # the last is smaller than k
        part = extremes(
            model, images[first:stop].split(10), coordinates="all", k=3, layer=None, first=first,
            keep_images=False,
        )  # fmt: skip
        rows.append(json.loads(json.dumps(to_rows(part))))
    together = merged(*(from_rows(one, 3) for one in rows))
    assert together.seen == whole.seen == 40
    for one, other in ((together.most, whole.most), (together.least, whole.least)):
        # The network's batches differ.
        torch.testing.assert_close(one.value, other.value)
    assert (together.most.index == whole.most.index).float().mean() > 0.99


def test_what_was_asked_differently_is_not_merged(model, images):
    one = rr.most_activating(model, [images], coordinates=[1, 2], k=2)
    for other in ({"coordinates": [1, 3], "k": 2}, {"coordinates": [1, 2], "k": 1}):
        with pytest.raises(rr.InputError, match="parts differ"):
            merged(one, rr.most_activating(model, [images], **other))
    with pytest.raises(rr.InputError, match="nothing to merge"):
        merged()
    with pytest.raises(rr.InputError, match="coordinates='some': give numbers, or \"all\""):
        rr.most_activating(model, [images], coordinates="some")


def test_as_many_images_as_are_asked_for_are_enough(model, images):
    found = rr.most_activating(model, [images[:3]], coordinates=[0], k=3)
    assert found.seen == 3
    assert found.most.index.sort(dim=1).values.tolist() == [[0, 1, 2]]
    with pytest.raises(InputError, match="the data has 2 images, k=3"):
        rr.most_activating(model, [images[:2]], coordinates=[0], k=3)
