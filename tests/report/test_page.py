"""The report is one file that opens from the disk, whatever the names in it."""

from __future__ import annotations

import base64
import io
import json
import re
from collections import Counter
from html.parser import HTMLParser
from urllib.parse import unquote

import pytest
import torch
from PIL import Image
from robustness.datasets import DATASETS

import robust_reps_ext as rr
from robust_reps_ext.experiments.paper import run_paper
from robust_reps_ext.experiments.paper.units import ORDER, UNITS
from robust_reps_ext.report.grids import curve_chart
from robust_reps_ext.report.page import write_report

pytestmark = pytest.mark.filterwarnings("ignore:the objective has no gradient")

HOSTILE = '</script><script>alert("1")</script>'


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.ids, self.sources, self.references, self.scripts = [], [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.tags.append((tag, found))
        self.ids += [found["id"]] if "id" in found else []
        self.sources += [found[name] for name in ("src", "href") if name in found]
        self.references += [
            found[name] for name in ("aria-controls", "aria-labelledby", "for") if name in found
        ]

    def handle_data(self, data):
        if self.tags and self.tags[-1][0] == "script":
            self.scripts.append(data)


@pytest.fixture(scope="module")
def written(tmp_path_factory, undrawn):
    data = DATASETS["critters"]()
    data.classes = (HOSTILE, *data.classes[1:])
    torch.manual_seed(0)
    robust, standard, vgg = (
        rr.load_model(data.get_model(arch), dataset=data)
        for arch in ("critters_resnet", "critters_resnet", "critters_vgg")
    )
    out = tmp_path_factory.mktemp("report")
    run_paper(
        robust, standard, data, out, vgg=vgg, images=9, pairs=2, steps=2, iterations=2,
        feature_iterations=2, addition_iterations=2, seeds=2, coordinates=2, radii=(0.0, 2.0),
        tested=9, attack_steps=(1,), names={"robust": HOSTILE},
    )  # fmt: skip
    path = write_report(out, ORDER)
    return path, path.read_text("utf-8")


def test_nothing_is_loaded_from_elsewhere(written):
    path, text = written
    page = Page(text)
    assert page.sources
    loaded = [found["src"] for _, found in page.tags if "src" in found]
    assert all(source.startswith("data:") for source in loaded)
    files = [path.parent / unquote(one) for one in page.sources if one.startswith("../")]
    assert all(file.resolve().is_file() for file in files)
    assert {"fig4.png", "fig5.pdf", "robust.safetensors"} <= {file.name for file in files}
    assert all(source.startswith(("data:", "#", "../")) for source in page.sources)
    assert not any(tag in ("link", "iframe", "object") and found.get("href") != "data:,"
                   for tag, found in page.tags)  # fmt: skip
    assert "url(" not in text
    assert "@import" not in text
    assert "http://" not in text
    assert "https://" not in text
    assert path.stat().st_size < 15 * 2**20


def test_ids_are_unique_and_links_lead_somewhere(written):
    page = Page(written[1])
    assert [name for name, n in Counter(page.ids).items() if n > 1] == []
    links = [source[1:] for source in page.sources if source.startswith("#")]
    assert len(links) == len(UNITS) + 1
    assert set(links) | set(page.references) <= set(page.ids)


def test_names_are_text_and_nothing_else(written):
    text = written[1]
    assert "alert(" in text
    assert HOSTILE not in text
    assert [tag for tag, _ in Page(text).tags].count("script") == 2


def test_images_are_those_of_the_data(written):
    images = [found for tag, found in Page(written[1]).tags if tag == "img" and "alt" in found]
    assert all("alt" in found for found in images)
    encoded = next(found["src"] for found in images if found["src"].startswith("data:image"))
    with Image.open(io.BytesIO(base64.b64decode(encoded.split(",")[1]))) as image:
        assert image.size == (64, 64)
        assert len(image.getcolors(10**5)) > 50


def test_every_traced_image_has_its_trace(written):
    page = Page(written[1])
    traces = json.loads(page.scripts[0])
    cells = [found for _, found in page.tags if found.get("data-run")]
    assert {found["data-run"] for found in cells} >= {"fig6-robust", "fig7-vgg", "fig12-standard"}
    for found in cells:
        trace = traces[found["data-run"]]
        values = trace["values"][int(found["data-position"])]
        assert len(values) == len(trace["steps"]) == 3


def test_a_figure_is_drawn_as_in_the_paper(written):
    """Rows of seeds, the first column the seed; and Fig. 8 beside it, with its result from grey."""
    text = written[1]
    features = text[text.index('<section id="fig7"') : text.index('<section id="fig8"')]
    cells = [found for tag, found in Page(features).tags if "data-position" in found]
    # Three models, two seeds, the seed and two coordinates.
    assert [found["data-position"] for found in cells[:6]] == ["-1", "0", "1", "-1", "2", "3"]
    assert len(cells) == 3 * 2 * 3
    activating = text[text.index('<section id="fig8"') : text.index('<section id="fig9"')]
    cells = [found for tag, found in Page(activating).tags if "data-position" in found]
    assert [found["data-run"] for found in cells[:8]] == ["fig8-robust", *[""] * 6, "fig8-robust"]
    assert "fig8-standard" not in text


def test_the_radius_of_the_tables_is_told_beside_the_papers(written):
    """3 at 224 pixels, brought to 64, is what `run_paper` takes: no word of it is needed."""
    assert "times as much per pixel" not in written[1]


def test_an_empty_folder_is_one_line(tmp_path):
    with pytest.raises(rr.InputError, match="holds no finished figure"):
        write_report(tmp_path, ORDER)


def test_the_chart_puts_values_where_they_are():
    line = {"name": "robust", "y": [1.0, 0.5, 0.0], "low": [1, 0.4, 0], "high": [1, 0.6, 0]}
    chart = curve_chart([1, 10, 100], [line])
    x = [tick["x"] for tick in chart["across"]]
    assert x[1] - x[0] == pytest.approx(x[2] - x[1])
    y = [dot["y"] for dot in chart["lines"][0]["dots"]]
    assert y[1] - y[0] == pytest.approx(y[2] - y[1])
    assert y[2] == chart["bottom"]
    assert y[2] > y[0]
    assert chart["mark"] is None


@pytest.mark.parametrize("radius", [0.1, 3.0, 400.0])
def test_the_radius_trained_against_is_drawn_where_it_is(radius):
    line = {"name": "robust", "y": [1.0, 0.5, 0.0], "low": [1, 0.4, 0], "high": [1, 0.6, 0]}
    chart = curve_chart([1, 10, 100], [line], (radius, "trained against"))
    x = [tick["x"] for tick in chart["across"]]
    mark = chart["mark"]["x"]
    assert chart["left"] <= mark <= chart["right"]
    assert (mark > x[0], mark > x[1], mark > x[2]) == (radius > 1, radius > 10, radius > 100)


def test_accuracy_comes_first_with_what_was_found_and_how(written):
    text = written[1]
    names = re.findall(r'<section id="(\w+)"', text)
    assert names[0] == "tables"
    figure = text[text.index('<section id="fig4"') : text.index('<section id="fig7"')]
    assert "2 steps of" in figure
    assert "Half of the distance is gone" in figure
    assert "attack of the table of accuracies, 0.857" in figure
    assert "is right on" in text[: text.index("<main>")]  # untrained networks
