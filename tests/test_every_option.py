"""What is no number, word or function of the right kind is one line, whichever call is given it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from networks import PLAIN, Scores, wrapped

import robust_reps_ext as rr
from robust_reps_ext.synthesis.settings import Settings

SIDE = 6
SHORT = {"iterations": 1}
LABELS = torch.tensor([0, 1, 0, 1])


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return wrapped(Scores(3 * SIDE * SIDE, None), PLAIN)


@pytest.fixture(scope="module")
def images():
    return torch.rand(4, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(3))


def synthesize(m, x, **given):
    objective, target = rr.CoordinateMaximization(), torch.tensor([0, 1, 0, 1])
    rest = {"objective": objective, "target": target, "settings": Settings(1.0, 0.5, 1), **given}
    return rr.synthesize(m, start=x, **rest)


def settled(m, x, **given):
    return synthesize(m, x, settings=Settings(**{"eps": 1.0, "step_size": 0.5, **SHORT, **given}))


EXPERIMENTS = {
    "invert": lambda m, x, **given: rr.invert(m, x, **{**SHORT, **given}),
    "visualize": lambda m, x, **given: rr.visualize(
        m, **{"coordinates": [0], "seeds": x, **SHORT, **given}
    ),
    "add_feature": lambda m, x, **given: rr.add_feature(
        m, x, **{"coordinate": 1, **SHORT, **given}
    ),
    "interpolate": lambda m, x, **given: rr.interpolate(m, x, x, **{"steps": 1, **SHORT, **given}),
    "invert_within": lambda m, x, **given: rr.invert_within(
        m, x, x.flip(0), **{"radii": (1,), **SHORT, **given}
    ),
}
CALLS = {
    **EXPERIMENTS,
    "Settings": settled,
    "synthesize": synthesize,
    "representation": lambda m, x, **given: rr.representation(m, x, **given),
    "evaluate": lambda m, x, **given: rr.evaluate(
        m, [(x, LABELS)], **{"eps": 0.5, "attack_steps": [1], **given}
    ),
    "most_activating": lambda m, x, **given: rr.most_activating(
        m, [(x, LABELS)], **{"coordinates": [0], "k": 1, **given}
    ),
    "load_model": lambda m, x, **given: rr.load_model(
        Scores(3 * SIDE * SIDE, None),
        **{"normalize": ([0.0] * 3, [1.0] * 3), "check": False, **given},
    ),
}

NO_NUMBERS = {
    "a word": "many",
    "a number in a text": "3",
    "negative": -1,
    "NaN": float("nan"),
    "complex": 1j,
    "a dict": {"a": 1},
    "a type": int,
    "many": np.ones((2, 2)),
}
NO_WORDS = {"another": "nosuch", "a number": 3, "an array": np.ones(4), "a type": int}

NUMBERS = {
    "invert": ("eps", "step_size", "iterations", "batch_size", "frames", "first", "seed"),
    "Settings": ("eps", "step_size", "iterations", "patience"),
    "interpolate": ("steps",),
    "invert_within": ("radii",),
    "visualize": ("coordinates", "seed"),
    "add_feature": ("coordinate", "eps"),
    "representation": ("batch_size",),
    "evaluate": ("eps", "step_size", "attack_steps", "batch_size", "seed", "group"),
    "most_activating": ("coordinates", "k", "first", "batch_size", "seed"),
    "synthesize": ("seed", "numbers"),
}
WORDS = {
    "invert": ("precision", "schedule", "constraint", "layer"),
    "visualize": ("parameterization",),
    "Settings": ("constraint", "precision", "schedule"),
    "evaluate": ("constraint", "precision"),
    "most_activating": ("layer",),
    "load_model": ("device", "layer", "dataset"),
}
# Not a function, a flag or a setting.
OTHERS = {
    "progress": ("invert", "evaluate", "most_activating"),
    "fake_relu": ("invert",),
    "use_best": ("Settings",),
    "snapshot": ("invert",),
    "output": ("load_model",),
    "transform": ("visualize",),
    "stop_when": ("synthesize",),
    "settings": ("synthesize",),
    "objective": ("synthesize",),
    "target": ("synthesize",),
    "keep_images": ("most_activating",),
}


def refused(call, model, images, **given):
    with pytest.raises(rr.InputError) as error:
        CALLS[call](model, images, **given)
    said = str(error.value)
    assert "\n" not in said
    assert len(said) < 400
    return said


@pytest.mark.parametrize("kind", NO_NUMBERS)
@pytest.mark.parametrize(
    ("call", "option"), [(c, o) for c, found in NUMBERS.items() for o in found]
)
def test_what_is_no_number_is_one_line_that_names_the_option(call, option, kind, model, images):
    assert option.rstrip("s") in refused(call, model, images, **{option: NO_NUMBERS[kind]})


@pytest.mark.parametrize("kind", NO_WORDS)
@pytest.mark.parametrize(("call", "option"), [(c, o) for c, found in WORDS.items() for o in found])
def test_another_word_is_one_line_that_names_the_option(call, option, kind, model, images):
    said = refused(call, model, images, **{option: NO_WORDS[kind]})
    assert option in said or "nosuch" in said


@pytest.mark.parametrize("option", OTHERS)
def test_what_is_of_another_kind_is_one_line_that_names_the_option(option, model, images):
    for call in OTHERS[option]:
        assert option in refused(call, model, images, **{option: 2.5})


@pytest.mark.parametrize("call", EXPERIMENTS)
def test_lengths_for_another_number_of_images_are_told(call, model, images):
    option = "step_size" if call == "invert_within" else "eps"
    assert f"{option}=" in refused(call, model, images, **{option: torch.ones(3)})


@pytest.mark.parametrize("call", EXPERIMENTS)
def test_numbers_are_taken_of_any_library(call, model, images):
    plain = {"step_size": 0.5, "iterations": 2, "batch_size": 2, "first": 1, "seed": 3}
    boxed = {name: np.float32(value) for name, value in plain.items()}
    one, other = (CALLS[call](model, images, **given) for given in (plain, boxed))
    for left, right in zip(syntheses(one), syntheses(other), strict=True):
        assert torch.equal(left.images, right.images)
    if call == "invert":
        each = CALLS[call](model, images, eps=[0.5] * 4, **plain)
        assert torch.equal(each.images, CALLS[call](model, images, eps=0.5, **plain).images)


def syntheses(result):
    return result.values() if isinstance(result, dict) else [result]


def test_a_target_of_another_size_is_not_stretched(model, images):
    for target in (torch.ones(4, 1), torch.ones(4, 5)):
        said = refused(
            *("synthesize", model, images), objective=rr.RepresentationMatching(), target=target
        )
        assert "target has shape (4, " in said
    assert "99 is out of range" in refused(
        "synthesize", model, images, target=torch.tensor([0, 1, 99, 0])
    )


def test_groups_are_taken_as_lists_and_told_where_they_do_not_fit(model, images):
    k = model(images)[0].shape[1]
    data = [(images, LABELS)]
    whole = rr.evaluate(model, data, eps=0.1, attack_steps=[1], group=[0] * k)
    assert [one.correct for one in whole] == [4, 4]
    with pytest.raises(rr.InputError, match=f"of {k + 1} classes, the model has {k}"):
        rr.evaluate(model, data, group=[0] * (k + 1))


@pytest.mark.parametrize("attack_steps", [[], [1]])
def test_the_size_of_batches_may_be_found_out_and_changes_nothing(attack_steps, model, images):
    data = torch.utils.data.TensorDataset(images, LABELS)
    for given in (data, [(images, LABELS)], iter([(images, LABELS)])):
        before = torch.get_rng_state()
        found = rr.evaluate(model, given, eps=0.1, attack_steps=attack_steps, batch_size="auto")
        assert torch.equal(before, torch.get_rng_state())
        plain = rr.evaluate(model, data, eps=0.1, attack_steps=attack_steps)
        assert found == plain
    with pytest.raises(rr.InputError, match="batch_size='many': give a whole number, or"):
        rr.evaluate(model, data, batch_size="many")


def test_the_size_of_batches_may_be_found_out_for_activations_too(model, images):
    data = torch.utils.data.TensorDataset(images, LABELS)
    one, other = (
        rr.most_activating(model, data, coordinates="all", k=2, batch_size=size)
        for size in ("auto", None)
    )
    assert torch.equal(one.most.value, other.most.value)
    assert torch.equal(one.least.index, other.least.index)


def test_the_size_of_batches_is_found_out_once_and_larger_ones_are_cut():
    from robust_reps_ext.runtime.batches import batches

    class Fixed:
        most, asked = 8, 0

        def size(self, images, labels):
            self.asked += 1
            return 2

    fixed = Fixed()
    data = [(torch.rand(3, 3, 2, 2), [0, 1, 0]), (torch.rand(5, 3, 2, 2), [0] * 5)]
    sizes = [len(one) for one, _ in batches(data, batch_size="auto", fastest=fixed)]
    assert (sizes, fixed.asked) == ([2, 1, 2, 2, 1], 1)
