"""A person at the page of a study: answers, keys, going on after it was closed, and the file."""

from __future__ import annotations

import pytest
import torch
from browsers import BROWSER

import robust_reps_ext as rr
from robust_reps_ext.report.study import Trial, write_study

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome on this machine"),
]


def test_a_study(browser, tmp_path):
    images = [torch.full((3, 16, 16), grey) for grey in (0.1, 0.5, 0.9)]
    trials = [
        Trial(image, ["dark", "middle", "bright"], i, "robust", f"grey {i}")
        for i, image in enumerate(images)
    ]
    trials.append(Trial(images[0], [images[2], images[0]], 1, "pairs, both", 'a "name"'))
    page = write_study(tmp_path / "study.html", trials, seed=3)
    context = browser.new_context(viewport={"width": 390, "height": 844})
    said = []
    opened = context.new_page()
    opened.on("console", lambda message: said.append(message.text))
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.goto(page.as_uri())

    def begin():
        opened.fill("#person", "ann")
        opened.get_by_role("button", name="Begin").click()

    begin()
    assert opened.locator("#where").inner_text() == "1 of 4"
    opened.keyboard.press("1")
    opened.locator("#choices button").nth(1).click()
    assert opened.locator("#where").inner_text() == "3 of 4"
    opened.reload()
    begin()
    assert opened.locator("#where").inner_text() == "3 of 4"
    opened.keyboard.press("1")
    opened.locator("#choices button").nth(1).click()
    with opened.expect_download() as download:
        opened.get_by_role("button", name="Save the answers").click()
    saved = tmp_path / "answers-ann.csv"
    download.value.save_as(saved)
    assert download.value.suggested_filename == saved.name
    found = rr.read_study(saved)
    assert sorted(found.rows["image"]) == ['a "name"', "grey 0", "grey 1", "grey 2"]
    assert found.rows["order"].tolist() == [0, 1, 2, 3]
    for row in found.rows.itertuples():
        assert row.correct == (row.truth == row.answer)
    pair = found.rows.set_index("image").loc['a "name"']
    assert (pair["truth"], pair["condition"]) == ("2", "pairs, both")
    width = opened.evaluate("document.documentElement.scrollWidth")
    assert width <= 390
    assert said == []
    context.close()
