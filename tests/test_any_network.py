"""Every call takes a network as it is, a name or a file, and leaves the network as it was."""

from __future__ import annotations

import pytest
import torch
from test_every_call import assert_same, network, state

import robust_reps_ext as rr
from robust_reps_ext.datasets.critters import CrittersDataSet
from robust_reps_ext.experiments.pairs import near_pairs
from robust_reps_ext.synthesis.settings import Settings

HALF = ((0.5,) * 3, (0.25,) * 3)
X = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(3))
FEW = {"iterations": 2}
LOADER = [(X, torch.tensor([0, 1, 2, 1]))]

CALLS = {
    "representation": lambda m, **k: rr.representation(m, X, **k),
    "invert": lambda m, **k: rr.invert(m, X, **FEW, **k).images,
    "invert_within": lambda m, **k: rr.invert_within(m, X, X.flip(0), radii=[1], **FEW, **k).images,
    "interpolate": lambda m, **k: rr.interpolate(m, X[:2], X[2:], steps=2, **FEW, **k).images,
    "visualize": lambda m, **k: rr.visualize(m, coordinates=[0], seeds=X, **FEW, **k).images,
    "add_feature": lambda m, **k: rr.add_feature(m, X, coordinate=1, **FEW, **k).images,
    "near_pairs": lambda m, **k: near_pairs(m, X, **FEW, **k).found,
    "most_activating": lambda m, **k: (
        rr.most_activating(m, LOADER, coordinates=[0], k=2, **k).most.value
    ),
    "evaluate": lambda m, **k: torch.tensor(
        [one.correct for one in rr.evaluate(m, LOADER, eps=0.5, attack_steps=[2], **k)]
    ),
    "synthesize": lambda m, **k: (
        rr.synthesize(
            m, rr.CoordinateMaximization(), torch.arange(4), X, Settings(1.0, 0.5, 2), **k
        ).images
    ),
}
every_call = pytest.mark.parametrize("name", CALLS)


@every_call
@pytest.mark.filterwarnings("ignore:the objective has no gradient")
def test_a_network_in_training_mode_is_enough(name):
    plain = network().train()
    before = state(plain)
    found = CALLS[name](plain, normalize=HALF)
    assert_same(before, state(plain))
    model = rr.load_model(network(), normalize=HALF)
    assert torch.equal(found, CALLS[name](model))
    assert torch.equal(found, CALLS[name](model, normalize=HALF))


@every_call
def test_a_network_without_a_normaliser_says_how_to_give_it(name):
    with pytest.raises(rr.InputError, match=r"stores no normaliser.*normalize=\(mean, std\)"):
        CALLS[name](network())


def test_a_normaliser_that_the_model_has_not_is_refused():
    model = rr.load_model(network(), normalize=HALF)
    with pytest.raises(rr.InputError, match="another normaliser already"):
        rr.representation(model, X, normalize=((0.5,) * 3, (0.5,) * 3))


def test_a_name_and_a_file_are_enough(tmp_path):
    images = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    wanted = rr.representation(rr.load_model("critters-standard"), images)
    assert torch.equal(rr.representation("critters-standard", images), wanted)
    torch.save(rr.load_model("critters-standard").model.state_dict(), tmp_path / "bare.pt")
    with pytest.raises(rr.InputError, match=r"bare\.pt stores no normaliser"):
        rr.representation(tmp_path / "bare.pt", images)
    normalizer = rr.load_model("critters-standard").normalizer
    normalize = normalizer.new_mean.flatten(), normalizer.new_std.flatten()
    found = rr.representation(tmp_path / "bare.pt", images, normalize=normalize)
    torch.testing.assert_close(found, wanted)


def test_robust_data_are_made_by_a_network_with_the_normaliser_of_the_data(tmp_path):
    data = CrittersDataSet(tmp_path, size=32, custom_class_args={"n_train": 9, "n_val": 9})
    plain = data.get_model("critters_resnet").train()
    before = state(plain)
    made = rr.robustify(plain, data, tmp_path / "made", n=4, shard_size=4, **FEW)
    assert made.images == 4
    # The loader of the training images draws a seed.
    assert_same(before, state(plain) | {"random": before["random"]})
