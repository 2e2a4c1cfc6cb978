"""Passes through a data set: what they tell, where they end, and what is drawn in them."""

from __future__ import annotations

import pytest
import torch
from networks import PLAIN, Linear, wrapped
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import robust_reps_ext as rr
from robust_reps_ext.models.representation import RepresentationModel

X = torch.rand(10, 3, 2, 2, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(10) % 2
SET = TensorDataset(X, LABELS)

PASSES = {
    "evaluate": lambda m, data, **given: rr.evaluate(m, data, eps=0.1, attack_steps=[2], **given),
    "most_activating": lambda m, data, **given: rr.most_activating(
        m, data, coordinates=[1, 5], k=4, **given
    ),
}


def images_in(found):
    return found[0].n if isinstance(found, tuple) else found.seen


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return wrapped(Linear(12), PLAIN)


@pytest.mark.parametrize("name", PASSES)
@pytest.mark.parametrize(
    ("data", "in_all"),
    [
        (SET, [10, 10, 10]),
        (DataLoader(SET, 10), [10, 10, 10]),
        ([(X, LABELS)], [10, 10, 10]),
        (((X, LABELS) for _ in range(1)), [4, 8, 10]),  # it does not say how many there are
    ],
    ids=["data set", "loader", "list", "iterator"],
)
def test_progress_is_told_and_batches_are_cut(name, data, in_all, model):
    if not isinstance(data, (list, DataLoader, TensorDataset)):
        data = ((X, LABELS) for _ in range(1))
    told = []
    found = PASSES[name](model, data, batch_size=4, progress=lambda *now: told.append(now))
    assert [now[0] for now in told] == [4, 8, 10]
    assert [now[1] for now in told] == in_all
    assert images_in(found) == 10
    value = found[0].share if name == "evaluate" else float(found.most.value.mean())
    assert told[-1][2] == pytest.approx(value)


@pytest.mark.parametrize("name", PASSES)
def test_a_pass_ends_where_progress_returns_true_and_keeps_the_result(name, model):
    found = PASSES[name](model, SET, batch_size=3, progress=lambda done, *_: done >= 3)
    assert images_in(found) == 3
    part = [(X[:3], LABELS[:3])]
    if name == "evaluate":
        assert found == PASSES[name](model, part)
    else:
        assert found.most.value.shape == (2, 3)  # fewer than k, and no error
        with pytest.raises(rr.InputError, match="the data has 3 images, k=4"):
            PASSES[name](model, part)


@pytest.mark.parametrize("name", PASSES)
def test_a_bar_is_drawn_where_it_is_asked_for(name, model, capsys):
    PASSES[name](model, SET, batch_size=5, progress=True)
    assert "10/10" in capsys.readouterr().err
    PASSES[name](model, SET)
    assert not capsys.readouterr().err


@pytest.mark.parametrize("name", PASSES)
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"batch_size": 0}, "batch_size=0"),
        ({"batch_size": 2.5}, "batch_size=2.5"),
        ({"batch_size": "most"}, "batch_size='most'"),
        ({"seed": -1}, "seed=-1"),
    ],
)
def test_bad_keywords_are_named(name, given, message, model):
    with pytest.raises(rr.InputError, match=message):
        PASSES[name](model, SET, **given)


class Drawing(nn.Module):
    """A network that adds noise, as smoothed ones do."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(12, 2)

    def forward(self, x):
        return self.fc(x.flatten(1) + torch.randn(x[0].numel()))


@pytest.mark.parametrize("name", PASSES)
def test_the_seed_fixes_what_a_network_draws_and_nothing_else_is_drawn(name):
    noisy = wrapped(RepresentationModel(Drawing()), PLAIN)

    def drawn(seed):
        torch.manual_seed(3)
        found = PASSES[name](noisy, DataLoader(SET, 5, shuffle=True), seed=seed)
        return found.to_frame(), torch.rand(1)

    first, after = drawn(1)
    torch.manual_seed(9)
    again, same = drawn(1)
    assert first.equals(again)
    assert torch.equal(after, same)
    other, same = drawn(2)
    assert torch.equal(after, same)
    assert name == "evaluate" or not first.equals(other)


def test_a_layer_is_read_in_a_pass(model):
    found = rr.most_activating(model, SET, coordinates=[1], k=2, layer="fc")
    with torch.no_grad():
        scores = model(X)[0]
    torch.testing.assert_close(found.most.value[0], scores[:, 1].sort(descending=True).values[:2])
