"""Every number of the paper's experiments as a run has it: what it records, and what it did.

The tables below name a figure or table of the paper, the run that makes it, a number, and its value
at 224 pixels. Lengths are held at a size that is not square, too. Training (Tables 2 and 3) is in
test_paper_training.py.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from networks import PLAIN, Convolutional, wrapped
from robustness.datasets import DATASETS
from torch import nn

import robust_reps_ext as rr
from robust_reps_ext.datasets.critters import CrittersDataSet
from robust_reps_ext.datasets.restricted_imagenet import label_mapping
from robust_reps_ext.datasets.wordnet import wordnet_ids
from robust_reps_ext.experiments.paper.study import SCALES, Study
from robust_reps_ext.experiments.paper.units import UNITS
from robust_reps_ext.models.zoo.public import PUBLIC
from robust_reps_ext.synthesis import noise
from robust_reps_ext.synthesis.settings import paper_eps

# sqrt(56 * 126) is 84: neither side gives it, nor their mean.
SIZES = {"224x224": ((224, 224), 1.0), "56x126": ((56, 126), 84 / 224)}
LENGTHS = ("eps", "step_size", "moved")

# Figure or table, the run, what of it, and the value at 224 pixels. "moved" is how far the images
# are from their start after one step: a normalised step, and no random start.
TABLE = [
    ("A.6.2, Fig. 2, 3, 13a, 16", "inversion", "eps", 1000),
    ("A.6.2, Fig. 2, 3, 13a, 16", "inversion", "iterations", 10_000),
    ("A.6.2, Fig. 2, 3, 13a, 16", "inversion", "step_size", 1),
    ("A.6.2, Fig. 2, 3, 13a, 16", "inversion", "moved", 1),
    ("eq. 4", "inversion", "objective", "representation_matching"),
    ("eq. 4", "inversion", "targeted", True),
    ("notebook", "inversion", "use_best", False),
    ("A.6.2, Fig. 6, 13b, 14, 15", "inversion from noise", "eps", 1000),
    ("A.6.2, Fig. 6, 13b, 14, 15", "inversion from noise", "iterations", 10_000),
    ("A.6.2, Fig. 6, 13b, 14, 15", "inversion from noise", "step_size", 1),
    ("A.6.2, Fig. 6, 13b, 14, 15", "inversion from noise", "moved", 1),
    ("Fig. 4, 5", "curve", "iterations", 10_000),
    ("Fig. 4, 5", "curve", "use_best", True),
    ("eq. 4", "curve", "objective", "representation_matching"),
    ("eq. 4", "curve", "targeted", True),
    ("A.6.2, Fig. 12, 17, 18", "interpolation", "eps", 1000),
    ("A.6.2, Fig. 12, 17, 18", "interpolation", "iterations", 10_000),
    ("A.6.2, Fig. 12, 17, 18", "interpolation", "step_size", 1),
    ("notebook", "interpolation", "use_best", True),
    ("eq. 6", "interpolation", "objective", "interpolation_target"),
    ("eq. 6", "interpolation", "targeted", True),
    ("A.6.1, Fig. 7, 19-22", "visualization", "eps", 1000),
    ("A.6.1, Fig. 7, 19-22", "visualization", "iterations", 200),
    ("A.6.1, Fig. 7, 19-22", "visualization", "step_size", 1),
    ("A.6.1, Fig. 7, 19-22", "visualization", "moved", 1),
    ("eq. 5", "visualization", "objective", "coordinate_maximization"),
    ("eq. 5", "visualization", "targeted", False),
    ("notebook", "visualization", "use_best", False),
    ("notebook, Fig. 11, 23", "addition", "eps", 1000),
    ("notebook, Fig. 11, 23", "addition", "iterations", 800),
    ("notebook, Fig. 11, 23", "addition", "step_size", 0.1),
    ("notebook, Fig. 11, 23", "addition", "moved", 0.1),
    ("eq. 5", "addition", "objective", "coordinate_maximization"),
    ("eq. 5", "addition", "targeted", False),
]
OF_ALL = [
    ("constraint", "2"),
    ("schedule", "paper"),
    ("fake_relu", True),
    ("patience", None),
    ("batch_size", 32),
    ("precision", "float32"),
]

# Unit of `paper --full`, what of its runs, and the value at 224 pixels.
FULL = [
    *((unit, name, value) for unit in ("fig3", "fig6", "fig14", "fig12")
      for name, value in (("eps", 1000), ("iterations", 10_000), ("step_size", 1))),
    ("fig4", "iterations", 10_000),
    *((unit, name, value) for unit in ("fig7", "fig8")
      for name, value in (("eps", 1000), ("iterations", 200), ("step_size", 1))),
    *(("fig11", name, value)
      for name, value in (("eps", 1000), ("iterations", 800), ("step_size", 0.1))),
    *((unit, "schedule", "paper")
      for unit in ("fig3", "fig4", "fig6", "fig7", "fig8", "fig11", "fig12", "fig14")),
]  # fmt: skip


class Square(nn.Module):
    """So that the representation of a blend is not the blend of representations."""

    def forward(self, x):
        return x * x


def watched(model):
    """The model, whose attacker's calls are kept: first iterates, keywords, results."""
    model.calls = []
    model.attacker.register_forward_hook(
        lambda _, given, how, out: model.calls.append((given[0], how, out)), with_kwargs=True
    )
    return model


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    body = (nn.AvgPool2d(14), nn.Conv2d(3, 8, 1), Square())
    return watched(wrapped(Convolutional(*body, width=8, classes=9), PLAIN))


def first_step(*_):
    """A `progress` that ends the run after its first step, whatever the number of steps."""
    return True


def experiments(model, size):
    x = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0)) * 0.2
    x += torch.tensor([0.2, 0.6]).view(2, 1, 1, 1)
    other = x.flip(0)
    return {
        "inversion": lambda **given: rr.invert(model, other, start=x, **given),
        "inversion from noise": lambda **given: rr.invert(model, x, **given),
        "curve": lambda **given: rr.invert_within(model, other, x, **given),
        "interpolation": lambda **given: rr.interpolate(model, x, other, **given),
        "visualization": lambda **given: rr.visualize(model, coordinates=5, seeds=x, **given),
        "addition": lambda **given: rr.add_feature(model, x, 5, early_stop=False, **given),
    }


class Run:
    """An experiment with `schedule="paper"`: what it found, recorded, and asked of the attacker."""

    def __init__(self, model, call):
        model.calls.clear()
        self.found = call(progress=first_step, schedule="paper")
        self.settings = getattr(self.found, "synthesis", self.found).settings
        (_, self.asked, _), *_ = model.calls
        model.calls.clear()
        call(iterations=1, schedule="paper")
        (begin, _, end), *_ = model.calls
        self.moved = (end - begin).flatten(1).norm(dim=1)

    def __getitem__(self, name):
        if name == "moved":
            return float(self.moved.mean())
        if name in self.asked:
            asked = self.asked[name]
            asked = asked.tolist() if isinstance(asked, torch.Tensor) else asked
            assert asked == self.settings[name]  # the record tells of this run
        return self.settings[name]


@pytest.fixture(scope="module", params=SIZES)
def made(request, model):
    """The runs at one size, and the length there that is 1 at 224 pixels."""
    size, scale = SIZES[request.param]
    calls = experiments(model, size)
    return {name: Run(model, calls[name]) for name in calls}, scale


@pytest.mark.parametrize(("item", "run", "name", "value"), TABLE)
def test_of_the_experiments(made, item, run, name, value):
    runs, scale = made
    found = runs[run][name]
    if isinstance(value, (bool, str)):
        assert found == value
    else:
        assert found == pytest.approx(value * (scale if name in LENGTHS else 1), rel=1e-3)


@pytest.mark.parametrize(("name", "value"), OF_ALL)
def test_of_every_experiment(made, name, value):
    runs, _ = made
    for run in runs.values():
        assert run[name] == value
        assert not run.asked.get("random_start", False)
        assert not run.asked.get("random_restarts", 0)


def test_the_start_is_gaussian_noise_of_a_twentieth(made):
    """Fig. 6: N(0, 1) / 20 + 0.5; a tenth or a fortieth would be off by half and more."""
    start = made[0]["inversion from noise"].found.start
    assert float(start.mean()) == pytest.approx(0.5, abs=0.002)
    assert float(start.std()) == pytest.approx(1 / 20, rel=0.02)
    drawn = (noise(torch.empty(4, 3, 224, 224)) - 0.5) * 20
    assert float(drawn.std()) == pytest.approx(1, rel=0.005)
    assert float((drawn**4).mean()) == pytest.approx(3, rel=0.03)  # as a Gaussian's, not 1.8


def test_the_curve_has_the_radii_of_fig_5(made):
    runs, scale = made
    curve = runs["curve"]
    assert curve.found.radii.tolist() == pytest.approx([scale * r for r in (2, 8, 32, 128)])
    radii = torch.tensor(curve["eps"])
    assert torch.equal(radii, curve.found.radii.repeat_interleave(2))
    # A step of 1 would overshoot a ball of radius 2: there it is a tenth of the radius.
    torch.testing.assert_close(torch.tensor(curve["step_size"]), (radii / 10).clamp(max=scale))
    torch.testing.assert_close(curve.moved, (radii / 10).clamp(max=scale), rtol=1e-3, atol=0)


def test_the_interpolation_has_ten_steps_of_lambda_from_the_pixel_blend(made, model):
    path = made[0]["interpolation"].found
    left, right = path.blend[:, -1], path.blend[:, 0]
    assert path.weights.tolist() == pytest.approx([i / 10 for i in range(11)])
    for i, weight in enumerate(path.weights.tolist()):
        blend = weight * left + (1 - weight) * right
        torch.testing.assert_close(path.blend[:, i], blend)
        ends = [rr.representation(model, images) for images in (left, right)]
        target = weight * ends[0] + (1 - weight) * ends[1]
        away = (rr.representation(model, blend) - target).norm(dim=1) / target.norm(dim=1)
        torch.testing.assert_close(path.synthesis.trace[0].view(2, 11)[:, i], away)
    assert float(path.synthesis.trace[0].view(2, 11)[:, 5].min()) > 0.02


@pytest.fixture(scope="module")
def full(model, tmp_path_factory):
    """The units of `paper --full` in the fewest images, the first step of each run."""
    folder = tmp_path_factory.mktemp("critters")
    numbers = {"n_train": 54, "n_val": 54}
    data = CrittersDataSet(folder, size=32, custom_class_args=numbers)
    scale = replace(SCALES["full"], images=2, pairs=1, seeds=2, coordinates=2)
    study = Study(
        models={"robust": model, "standard": model},
        data_set=data,
        classes=data.classes,
        scale=scale,
        eps=paper_eps(torch.empty(3, 32, 32)),
        group=None,
        seed=0,
    )
    units = {unit.id: unit for unit in UNITS}
    made = {}
    for name in (*dict.fromkeys(unit for unit, *_ in FULL), "tables"):
        model.calls.clear()
        progress = False if name == "tables" else first_step
        made[name] = (units[name].compute(study, progress), model.calls.copy())
    return made


@pytest.mark.parametrize(("unit", "name", "value"), FULL)
def test_of_paper_full(full, unit, name, value):
    runs = full[unit][0].runs
    assert runs
    for run in runs.values():
        expected = value * 32 / 224 if name in LENGTHS else value
        assert run.settings[name] == pytest.approx(expected)


def test_fig_4_and_5_of_paper_full(full):
    found = full["fig4"][0]
    radii = torch.tensor(found.metadata["radii"]) * 224 / 32
    assert {2, 8, 32, 128} <= {round(one, 3) for one in radii.tolist()}
    for run in found.runs.values():
        torch.testing.assert_close(torch.tensor(run.settings["eps"]) * 224 / 32, radii)


def test_fig_8_and_12_of_paper_full(full):
    found = full["fig8"][0]
    assert {len(images) for images in found.pictures.values()} == {3 * 2}  # of two coordinates
    for run in found.runs.values():
        assert bool((run.start == 0.5).all())
    assert [len(run) for run in full["fig12"][0].runs.values()] == [11, 11]


def test_tables_4_and_5_of_paper_full(full):
    """PGD of 20 steps of 0.375 within 3, and of 100 steps, from the image itself; all images."""
    found, calls = full["tables"]
    assert found.metadata["columns"] == ["clean", "PGD-20", "PGD-100"]
    assert found.metadata["images"] == 54
    assert found.metadata["eps"] == pytest.approx(3 * 32 / 224)
    assert sorted({how["iterations"] for _, how, _ in calls}) == [20, 100]
    for _, how, _ in calls:
        assert how["constraint"] == "2"
        assert how["eps"] == pytest.approx(3 * 32 / 224)
        assert how["step_size"] == pytest.approx(0.375 * 32 / 224)
        assert not how.get("random_start", False)


def test_tables_4_and_5_of_evaluate(model):
    images = torch.rand(2, 3, 224, 224) * 0.2 + 0.4
    model.calls.clear()
    found = rr.evaluate(model, [(images, torch.tensor([0, 1]))])
    assert [one.name for one in found] == ["clean", "PGD-20", "PGD-100"]
    assert [how["iterations"] for _, how, _ in model.calls] == [20, 100]
    model.calls.clear()
    rr.evaluate(model, [(images, torch.tensor([0, 1]))], attack_steps=[1])
    [(begin, how, end)] = model.calls
    assert (how["eps"], how["step_size"], how["constraint"]) == (3, 0.375, "2")
    assert torch.equal(begin, images)
    moved = (end - begin).flatten(1).norm(dim=1)
    torch.testing.assert_close(moved, torch.full((2,), 0.375), rtol=1e-3, atol=0)


def test_fig_8_of_most_activating(model):
    found = rr.most_activating(model, [torch.rand(8, 3, 28, 28)], coordinates=[1])
    assert found.most.value.shape == found.least.value.shape == (1, 3)


@pytest.mark.parametrize(
    ("label", "name", "first", "last"),
    [
        (0, "dog", 151, 268),
        (1, "cat", 281, 285),
        (2, "frog", 30, 32),
        (3, "turtle", 33, 37),
        (4, "bird", 80, 100),
        (5, "primate", 365, 382),
        (6, "fish", 389, 397),
        (7, "crab", 118, 121),
        (8, "insect", 300, 319),
    ],
)
def test_table_1(label, name, first, last):
    """The ranges are inclusive; what is on either side of them has another label, or none."""
    wnids = wordnet_ids()
    names, labels = label_mapping(sorted(wnids), {one: i for i, one in enumerate(sorted(wnids))})
    assert len(wnids) == 1000
    assert len(labels) == 203
    assert names[label] == name
    assert [i for i, one in enumerate(wnids) if labels.get(one) == label] == [
        *range(first, last + 1)
    ]


@pytest.mark.parametrize(
    ("dataset", "mean", "std"),
    [
        ("imagenet", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ("restricted_imagenet", (0.4717, 0.4499, 0.3837), (0.2600, 0.2516, 0.2575)),
        ("cifar", (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
    ],
)
def test_normalizers(dataset, mean, std, tmp_path):
    data = DATASETS[dataset](str(tmp_path))
    network = Convolutional(nn.Conv2d(3, 2, 1), width=2, classes=data.num_classes)
    normalizer = rr.load_model(network, dataset=data).normalizer
    for given, values in ((normalizer.new_mean, mean), (normalizer.new_std, std)):
        torch.testing.assert_close(given.flatten(), torch.tensor(values), rtol=0, atol=1e-4)


def test_published_accuracies_and_files():
    """Tables 4 and 5, of the models that are published: clean, and under attack."""
    told = {tuple(one.accuracies.values()) for one in PUBLIC.values()}
    assert {(92.39, 81.91), (98.01, 4.74), (57.90, 35.16)} <= told
    [linf] = [one for one in PUBLIC.values() if one.file == "resnet50_linf_eps4.0.ckpt"]
    assert linf.size == 204_818_947
    assert linf.sha256 == "9e62216975c111b8081481533b6142dec34be69abe5d90b54d7f860015c263db"


def test_the_box_is_no_wider_than_388():
    """So that eps 1000 and 500 never bind at 224 pixels."""
    assert round((3 * 224 * 224) ** 0.5) == 388
    assert paper_eps(torch.empty(3, 224, 224)) == 3


class Asked(Convolutional):
    """Remembers whether the gradient was to pass straight through the last ReLU."""

    asked: set[bool] = set()  # noqa: RUF012

    def forward(self, x, with_latent=False, fake_relu=False, no_relu=False):
        if torch.is_grad_enabled():
            self.asked.add(fake_relu)
        return super().forward(x, with_latent=with_latent)


@pytest.mark.parametrize("fake_relu", [True, False])
def test_the_ablation_of_the_fake_relu_reaches_every_experiment(fake_relu):
    model = wrapped(Asked(nn.AvgPool2d(14), nn.Conv2d(3, 8, 1), Square(), width=8), PLAIN)
    for name, call in experiments(model, (28, 28)).items():
        Asked.asked.clear()
        call(iterations=1, fake_relu=fake_relu)
        assert Asked.asked == {fake_relu}, name
