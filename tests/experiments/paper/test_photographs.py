"""The figures of photographs that the demo shows: without labels, beside those of other data."""

from __future__ import annotations

import pytest
import torch
from robustness.datasets import DATASETS

import robust_reps_ext as rr
from robust_reps_ext.datasets.given_images import GivenImages
from robust_reps_ext.datasets.samples import validation_samples
from robust_reps_ext.experiments.paper import run_paper
from robust_reps_ext.experiments.paper.units import ORDER, PHOTOGRAPHS
from robust_reps_ext.report.page import write_report
from robust_reps_ext.results.synthesis import Synthesis
from robust_reps_ext.results.units import finished_units
from robust_reps_ext.runtime.errors import InputError

pytestmark = pytest.mark.filterwarnings("ignore:the objective has no gradient")

NAMES = ("one", "two", "three")
FEW = {
    "images": 3,
    "pairs": 2,
    "steps": 2,
    "iterations": 2,
    "feature_iterations": 2,
    "addition_iterations": 2,
    "seeds": 3,
    "coordinates": 3,
    "radii": (2.0, 8.0),
    "tested": 6,
    "attack_steps": (1, 2),
}


@pytest.fixture(scope="module")
def images():
    return torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def made(images, tmp_path_factory):
    torch.manual_seed(0)
    data = DATASETS["critters"]()
    pair = [rr.load_model(data.get_model("critters_resnet"), dataset=data) for _ in range(2)]
    out = tmp_path_factory.mktemp("photographs")
    classes = [f"class {i}" for i in range(9)]
    run_paper(*pair, GivenImages(images, NAMES), out, units=PHOTOGRAPHS, classes=classes, **FEW)
    return pair, out


def test_images_are_those_given(images):
    found = validation_samples(GivenImages(images, NAMES), 3)
    assert torch.equal(found.images, images[found.indices])
    assert found.names == tuple(NAMES[i] for i in found.indices)


def test_each_photograph_sets_out_from_another(made, images):
    _, out = made
    units = {unit.manifest["id"]: unit for unit in finished_units(out, ORDER)}
    assert list(units) == [unit.id for unit in PHOTOGRAPHS]
    unit = units["photographs-fig3"]
    run = Synthesis.load(unit.path / "robust.safetensors")
    for i, (name, source) in enumerate(
        zip(unit.manifest["metadata"]["labels"], unit.manifest["metadata"]["sources"], strict=True)
    ):
        assert name != source
        assert torch.equal(run.start[i], images[NAMES.index(source)])
        assert torch.equal(run.target_images[i], images[NAMES.index(name)])


def test_classes_are_those_of_the_networks(made):
    _, out = made
    unit = next(u for u in finished_units(out, ORDER) if u.manifest["id"] == "photographs-fig7")
    predicted = [
        name for names in unit.manifest["metadata"]["predicted"].values() for name in names
    ]
    assert predicted
    assert all(name.startswith("class ") for name in predicted)


def test_other_data_stand_beside_them(made, images):
    """The same again is not made again; other photographs are refused; the page shows both."""
    pair, out = made
    before = {path: path.stat().st_mtime_ns for path in out.glob("*/unit.json")}
    run_paper(
        *pair,
        GivenImages(images, NAMES),
        out,
        units=PHOTOGRAPHS,
        classes=[f"class {i}" for i in range(9)],
        **FEW,
    )
    assert before == {path: path.stat().st_mtime_ns for path in out.glob("*/unit.json")}
    with pytest.raises(InputError, match="was made with"):
        run_paper(*pair, GivenImages(1 - images, NAMES), out, units=PHOTOGRAPHS, **FEW)
    data = DATASETS["critters"]()
    run_paper(*pair, data, out, **FEW)
    assert before.items() <= {p: p.stat().st_mtime_ns for p in out.glob("*/unit.json")}.items()
    page = write_report(out, ORDER).read_text("utf-8")
    assert page.index('id="photographs-fig6"') < page.index('id="fig6"')


def test_a_name_for_each(images):
    with pytest.raises(InputError, match="3 images and 2 names"):
        GivenImages(images, NAMES[:2])
