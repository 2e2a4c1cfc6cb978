"""What robustness.tools.helpers must give: upstream's own numbers, and right ones beside them."""

from __future__ import annotations

import math
import pickle
from collections import namedtuple

import pytest
import robustness
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from robustness.tools import constants, helpers

from robust_reps_ext.datasets.wordnet import wordnet_ids
from robust_reps_ext.runtime.errors import InputError

WNIDS = wordnet_ids()


@settings(deadline=None, max_examples=40)
@given(
    n=st.integers(1, 12), classes=st.integers(5, 12), seed=st.integers(0, 999), k=st.integers(1, 5)
)
def test_accuracy_is_upstreams_where_upstream_is_right(pristine, n, classes, seed, k):
    random = torch.Generator().manual_seed(seed)
    logits = torch.randn(n, classes, generator=random)
    labels = torch.randint(classes, (n,), generator=random)
    ours = helpers.accuracy(logits, labels, topk=(1, k))
    theirs = pristine.tools.helpers.accuracy(logits, labels, topk=(1, k))
    assert [each.shape for each in ours] == [(1,), (1,)]
    assert torch.equal(torch.cat(ours), torch.cat(theirs))
    exact = helpers.accuracy(logits, labels, topk=(1, k), exact=True)
    assert torch.equal(exact[0], pristine.tools.helpers.accuracy(logits, labels, exact=True)[0])
    for hits, percent in zip(exact, ours, strict=True):
        assert hits.shape == (n,)
        assert hits.mean().item() * 100 == pytest.approx(percent.item(), rel=1e-5)


def test_accuracy_counts_by_hand():
    logits = torch.tensor([[5.0, 4, 3, 2], [5, 4, 3, 2], [5, 4, 3, 2]])
    labels = torch.tensor([0, 2, 3])
    top1, top3 = helpers.accuracy(logits, labels, topk=(1, 3), exact=True)
    assert top1.tolist() == [1, 0, 0]
    assert top3.tolist() == [1, 1, 0]


def test_more_than_all_classes_is_all_classes():
    top1, top5 = helpers.accuracy(torch.eye(2), torch.tensor([0, 0]), topk=(1, 5))
    assert (top1.item(), top5.item()) == (50, 100)


def test_an_empty_batch_has_no_accuracy_and_moves_no_average():
    (top1,) = helpers.accuracy(torch.zeros(0, 9), torch.zeros(0, dtype=torch.long))
    assert top1.isnan().all()
    meter = helpers.AverageMeter()
    meter.update(top1[0], 0)
    assert meter.avg == 0
    meter.update(4.0, 3)
    meter.update(top1[0], 0)
    meter.update(8.0, 1)
    assert (meter.avg, meter.count) == (5.0, 4)


def test_binary_attributes_keep_upstreams_contract(pristine):
    logits, labels = torch.randn(6, 4), torch.randint(2, (6, 4)).float()
    (ours,), rest = helpers.accuracy(logits, labels)
    (theirs,), _ = pristine.tools.helpers.accuracy(logits, labels)
    assert rest == [-1.0]
    assert torch.equal(ours, theirs)
    with pytest.raises(ValueError, match=r"\(6, 4\)"):
        helpers.accuracy(logits[:, :3], labels)


def quadratic(x, y):
    return (x.flatten(1) ** 2).sum(1) * (y + 1)


def test_the_normaliser_gives_upstreams_numbers_and_a_gradient_at_its_bounds(pristine):
    """Black and white pixels can move; outside [0, 1] nothing does, as upstream has it."""
    mean, std = torch.tensor([0.4, 0.5, 0.6]), torch.tensor([0.2, 0.25, 0.5])
    ours, theirs = (one.tools.helpers.InputNormalize(mean, std) for one in (robustness, pristine))
    values = torch.tensor([-math.inf, -1.0, 0.0, 0.3, 1.0, 1.5, math.inf, math.nan])
    x = values.view(1, 1, 2, 4).repeat(2, 3, 1, 1).requires_grad_()
    torch.testing.assert_close(ours(x), theirs(x), rtol=0, atol=0, equal_nan=True)
    (gradient,) = torch.autograd.grad(ours(x).sum(), x)
    passed = torch.tensor([0.0, 0, 1, 1, 1, 0, 0, 1]).view(2, 4)
    torch.testing.assert_close(gradient, (passed / std.view(3, 1, 1)).expand_as(x))
    assert ours(x.detach().double()).dtype == torch.float64


@pytest.mark.parametrize("queries", [2, 5, 12])
@pytest.mark.parametrize("max_batch", [1, 8, 256])
def test_estimated_gradients_are_upstreams_in_any_chunks(pristine, queries, max_batch):
    x, y = torch.randn(3, 2, 4, 4), torch.arange(3)
    torch.manual_seed(0)
    theirs = pristine.tools.helpers.calc_est_grad(quadratic, x, y, 0.1, queries)
    torch.manual_seed(0)
    longest = 0

    def watched(images, targets):
        nonlocal longest
        longest = max(longest, len(images))
        assert len(images) == len(targets)
        return quadratic(images, targets)

    ours = helpers.calc_est_grad(watched, x, y, 0.1, queries, max_batch)
    torch.testing.assert_close(ours, theirs)
    assert longest <= max(max_batch, len(x))


def test_estimated_gradients_of_a_sum_are_those_of_its_parts():
    x, y = torch.randn(3, 2, 4, 4), torch.arange(3)

    def halves(images, targets):
        one, (other, nothing) = targets
        assert nothing is None
        return (quadratic(images, one) + quadratic(images, other)) / 2

    torch.manual_seed(0)
    plain = helpers.calc_est_grad(quadratic, x, y, 0.1, 6, 8)
    torch.manual_seed(0)
    summed = helpers.calc_est_grad(halves, x, (y, (y, None)), 0.1, 6, 8)
    torch.testing.assert_close(summed, plain)


def test_an_estimated_gradient_points_uphill():
    weight = torch.randn(1, 2, 3)
    torch.manual_seed(1)
    x = torch.zeros(1, 1, 2, 3).to(memory_format=torch.channels_last)
    estimate = helpers.calc_est_grad(
        lambda images, _: (images * weight).flatten(1).sum(1), x, torch.zeros(1), 0.5, 4000
    )
    # For a linear function the mean over the sphere is the gradient times rad / dimension.
    torch.testing.assert_close(estimate[0], weight * 0.5 / 6, atol=0.03, rtol=0)


def test_one_query_is_a_pair_and_none_is_an_error():
    x, y = torch.randn(2, 3, 2, 2), torch.arange(2)
    assert helpers.calc_est_grad(quadratic, x, y, 0.1, 1).shape == x.shape
    with pytest.raises(InputError, match="num_samples=0"):
        helpers.calc_est_grad(quadratic, x, y, 0.1, 0)


class Counted:
    """Batches that count how many were asked for."""

    dataset = "the data"

    def __init__(self, batches):
        self.batches, self.asked = batches, 0

    def __len__(self):
        return len(self.batches)

    def __iter__(self):
        for batch in self.batches:
            self.asked += 1
            yield batch


def numbered(n, parts=2):
    return [tuple(torch.full((2,), float(i)) for _ in range(parts)) for i in range(n)]


@pytest.mark.parametrize(("stop_after", "expected"), [(None, 4), (0, 0), (1, 1), (3, 3), (9, 4)])
def test_the_prefetcher_stops_after_exactly_so_many(stop_after, expected):
    loader = Counted(numbered(4))
    prefetcher = helpers.DataPrefetcher(loader, stop_after=stop_after, device="cpu")
    seen = [batch[0][0].item() for batch in prefetcher]
    assert seen == list(range(expected))
    assert len(prefetcher) == expected
    assert loader.asked == expected
    assert prefetcher.dataset == "the data"


def test_the_prefetcher_takes_batches_of_any_make():
    Pair = namedtuple("Pair", ["left", "right"])
    batch = [torch.ones(1), {"a": torch.zeros(2)}, Pair(torch.ones(3), "text"), [torch.ones(4)], 5]
    ((image, table, pair, listed, number),) = helpers.DataPrefetcher([batch], device="cpu")
    assert image.shape == (1,)
    assert table["a"].shape == (2,)
    assert (pair.left.shape, pair.right) == ((3,), "text")
    assert listed[0].shape == (4,)
    assert number == 5
    assert [len(found) for found in helpers.DataPrefetcher(numbered(2, parts=3))] == [3, 3]


def test_loops_over_one_prefetcher_do_not_disturb_each_other():
    prefetcher = helpers.DataPrefetcher(numbered(3), device="cpu")
    pairs = [(a[0][0].item(), b[0][0].item()) for a in prefetcher for b in prefetcher]
    assert pairs == [(a, b) for a in range(3) for b in range(3)]
    for _ in prefetcher:
        break
    assert next(iter(prefetcher))[0][0].item() == 0


def test_a_prefetcher_can_be_copied_and_refuses_a_negative_limit():
    copy = pickle.loads(pickle.dumps(helpers.DataPrefetcher(numbered(2))))
    assert len(copy) == 2
    with pytest.raises(InputError, match="stop_after=-1"):
        helpers.DataPrefetcher([], stop_after=-1)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_the_prefetcher_copies_ahead_on_cuda():
    loader = Counted([(torch.full((1000, 1000), float(i)).pin_memory(),) for i in range(5)])
    batches = iter(helpers.DataPrefetcher(loader))
    first = next(batches)
    assert loader.asked == 2
    sums = [first[0].sum().item(), *(batch[0].sum().item() for batch in batches)]
    assert sums == [i * 1e6 for i in range(5)]


def folders(names):
    return {name: position for position, name in enumerate(sorted(names))}


def test_ranges_are_upstreams_labels_on_a_full_tree(pristine):
    tree = folders(WNIDS)
    ranges = constants.RESTRICTED_IMAGNET_RANGES
    classes, mapping = helpers.restricted_label_mapping(list(tree), tree, ranges)
    assert mapping == pristine.tools.helpers.restricted_label_mapping(list(tree), tree, ranges)[1]
    assert classes == sorted(mapping)
    assert len(classes) == 203


def test_ranges_go_by_wordnet_id_in_any_other_tree():
    ranges = constants.RESTRICTED_IMAGNET_RANGES
    tree = folders([*WNIDS[150:300], "0-stray"])
    label_mapping = helpers.get_label_mapping("restricted_imagenet", ranges)
    classes, mapping = label_mapping(list(tree), tree)
    assert mapping == {
        **dict.fromkeys(WNIDS[151:269], 0),
        **dict.fromkeys(WNIDS[281:286], 1),
    }
    assert classes == sorted(mapping)


def test_groups_may_hold_classes_or_folder_names():
    groups = [{0, 1}, {WNIDS[5], "mine"}]
    full = folders(WNIDS)
    mapping = helpers.get_label_mapping("custom_imagenet", groups)(list(full), full)[1]
    assert mapping == {WNIDS[0]: 0, WNIDS[1]: 0, WNIDS[5]: 1}
    part = folders(["mine", WNIDS[1], WNIDS[7]])
    assert helpers.custom_label_mapping(list(part), part, groups) == (
        ["mine", WNIDS[1]],
        {WNIDS[1]: 0, "mine": 1},
    )
    other = folders(["apple", "bear", "cow"])
    assert helpers.custom_label_mapping(list(other), other, [{2}, {0}])[1] == {"cow": 0, "apple": 1}


def test_a_group_without_a_folder_is_named():
    with pytest.raises(InputError, match=r"group 1 .*n99999999"):
        helpers.custom_label_mapping([], {"a": 0}, [{0}, {"n99999999"}])
