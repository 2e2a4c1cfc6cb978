"""Every result: a figure, a table, two lines, and a file that gives the same to the bit."""

from __future__ import annotations

import base64
import io
import json
import re
from dataclasses import fields, is_dataclass
from html import escape

import pytest
import torch
from networks import PLAIN, Linear, wrapped
from PIL import Image
from safetensors.torch import load_file, save_file

import robust_reps_ext as rr
from robust_reps_ext.experiments.accuracy import Accuracies, Accuracy
from robust_reps_ext.experiments.constrained import Curve
from robust_reps_ext.experiments.interpolation import Interpolation
from robust_reps_ext.experiments.metamers import Metamers
from robust_reps_ext.experiments.metamers.null import Null
from robust_reps_ext.experiments.metamers.recognition import Recognition, recognition
from robust_reps_ext.experiments.pairs import Pairs, near_pairs
from robust_reps_ext.experiments.resemblance import Resemblance
from robust_reps_ext.experiments.scorecard.result import PAIR, Scorecard
from robust_reps_ext.experiments.visualization import Visualization
from robust_reps_ext.results.activations import Activations
from robust_reps_ext.results.directions import Directions
from robust_reps_ext.results.result import Result
from robust_reps_ext.results.synthesis import Synthesis

X = torch.rand(4, 3, 2, 2, generator=torch.Generator().manual_seed(0))
DATA = [(X, torch.arange(4) % 2), (X.flip(0), torch.arange(4) % 2)]
FEW = {"iterations": 3, "step_size": 0.1}


def estimate(value):
    return {"value": value, "low": value - 1 / 3, "high": value + 0.1}


def scorecard(_model):
    """As `scorecard` makes it, without the minutes that it takes."""
    measures = [
        {
            "name": name,
            "unit": "share",
            "larger": True,
            "n": [3, 8],
            **{role: estimate(0.5 + 1 / 7) for role in (*PAIR, "difference")},
            "chance": chance,
            "verdict": "separates",
        }
        for name, chance in (("class kept", 0.1), ("class moved", None))
    ]
    claim = {"name": "inversion", "section": "4.1", "statement": "x", "measures": measures}
    study = {"data": {"name": "critters"}, "eps": 1.5, "seeds": 3, "judge_right": None}
    return Scorecard([claim], {"angle": "there is no judge"}, study)


def ladder(model):
    return rr.metamers(model, X, layers=["fc"], **FEW)


# What makes a result -> (its kind, rows of its table).
RESULTS = {
    "invert": (lambda m: rr.invert(m, X, frames=3, eps=torch.arange(4.0), **FEW), Synthesis, 4),
    "add_feature": (lambda m: rr.add_feature(m, X, 3, **FEW), Synthesis, 4),
    "invert_within": (lambda m: rr.invert_within(m, X, X.flip(0), radii=(1, 2), **FEW), Curve, 8),
    "interpolate": (lambda m: rr.interpolate(m, X, X.flip(0), steps=2, **FEW), Interpolation, 12),
    "visualize": (
        lambda m: rr.visualize(m, coordinates=[1, 5], seeds=X, **FEW),
        *(Visualization, 8),
    ),
    "near_pairs": (lambda m: near_pairs(m, X, **FEW), Pairs, 4),
    "most_activating": (
        lambda m: rr.most_activating(m, DATA, coordinates=[1, 5], k=3),
        *(Activations, 2 * 2 * 3),
    ),
    "directions": (
        lambda m: rr.directions(m, DATA, components=2, k=3),
        *(Directions, 2 * 2 * 3),
    ),
    "directions by a probe": (
        lambda m: rr.directions(m, DATA, method="probe", path=2, k=1),
        *(Directions, 2 * 2 * 1),
    ),
    "fit_gaussians": (
        lambda m: rr.fit_gaussians(DATA, classes=2, downsample=1),
        *(rr.ClassGaussians, 2),
    ),
    "evaluate": (lambda m: rr.evaluate(m, DATA, eps=0.1, attack_steps=[1, 2]), Accuracies, 3),
    "resemblance": (
        lambda m: rr.resemblance(torch.rand(4, 3, 32, 32), torch.rand(4, 3, 32, 32)),
        *(Resemblance, 4),
    ),
    "scorecard": (scorecard, Scorecard, 2),
    "metamers": (lambda m: ladder(m), Metamers, 4),
    "null": (lambda m: ladder(m).null, Null, 3),
    "recognition": (lambda m: recognition(ladder(m), {"judge": m}), Recognition, 1),
}


@pytest.fixture(scope="module")
def results():
    torch.manual_seed(0)
    model = wrapped(Linear(12), PLAIN)
    return {name: make(model) for name, (make, _, _) in RESULTS.items()}


def parts(value):
    """Everything in a result, whatever it is made of, so that it can be compared."""
    if isinstance(value, torch.Tensor):
        return str(value.dtype), tuple(value.shape), value.numpy().tobytes()
    if is_dataclass(value):
        return [(one.name, parts(getattr(value, one.name))) for one in fields(value)]
    if isinstance(value, tuple):
        return [parts(one) for one in value]
    return value


@pytest.mark.parametrize("name", RESULTS)
def test_a_result_is_shown_counted_told_and_kept(name, results, tmp_path):
    found, (_, kind, rows) = results[name], RESULTS[name]
    assert type(found) is kind
    assert found.figure().axes
    assert len(found.to_frame()) == rows
    lines = repr(found).splitlines()
    assert len(lines) == 2
    assert max(map(len, lines)) <= 200
    assert "tensor(" not in repr(found)
    html = found._repr_html_()
    assert escape(lines[0]) in html
    source = re.search(r'src="data:image/png;base64,([^"]+)"', html)[1]
    with Image.open(io.BytesIO(base64.b64decode(source))) as image:
        assert image.width <= 1600
        assert len(image.convert("RGB").getcolors(10**6)) > 5
    path = tmp_path if kind is Scorecard else tmp_path / "kept"
    found.save(path)
    again = kind.load(path)
    assert parts(again) == parts(found)
    assert again.to_frame().equals(found.to_frame())
    assert repr(again) == repr(found)


def test_accuracies_of_earlier_versions_are_read(tmp_path, monkeypatch):
    """They held no attack, and no radius of an accuracy."""
    kept = [{"name": "clean", "correct": 3, "n": 4, "by_class": [[3, 4]]}]
    found = Accuracies([Accuracy("clean", 3, 4, ((3, 4),))])
    monkeypatch.setattr(Accuracies, "_parts", lambda self: {"accuracies": kept})
    again = Accuracies.load(found.save(tmp_path / "kept"))
    assert (again, again.attack) == (found, None)


@pytest.mark.parametrize("name", [name for name in RESULTS if name != "scorecard"])
def test_a_torn_or_hostile_file_is_one_line(name, results, tmp_path):
    found, kind = results[name], RESULTS[name][1]
    path = found.save(tmp_path / "kept")
    whole = path.read_bytes()

    def refused(said="damaged"):
        with pytest.raises(rr.InputError) as caught:
            kind.load(path)
        assert said in str(caught.value)
        assert str(caught.value).isprintable()

    for length in (0, 7, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        refused()
    path.write_bytes(whole)
    tensors = load_file(path)
    header = json.loads(whole[8 : 8 + int.from_bytes(whole[:8], "little")])["__metadata__"]
    for lacking in tensors:
        save_file({n: t for n, t in tensors.items() if n != lacking}, path, header)
        if "target_images" not in lacking:  # there need be none
            refused()
        save_file({**tensors, lacking: torch.zeros(5, 1)}, path, header)
        refused()
    for fact in header:
        save_file(tensors, path, {n: t for n, t in header.items() if n != fact})
        refused("damaged" if fact != "format" else f"not a saved {kind.__name__}")
        for text in ("[" * 100_000, "\\n\\0{", "7.5", '"x"'):
            save_file(tensors, path, {**header, fact: text})
            refused("damaged" if fact != "format" else "not a saved")
    save_file({**tensors, "more": torch.zeros(1)}, path, header)
    refused()
    path.unlink()
    refused("there is no file")
    path.mkdir()
    refused("there is no file")
    with pytest.raises(rr.InputError, match="cannot write"):
        found.save(path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[" * 100_000,
        "[]",
        '{"claims": []}',
        '{"claims": 3, "left_out": {}, "made_with": {}}',
        '{"claims": [{"measures": []}], "left_out": {}, "made_with": {}}',
        '{"claims": [], "left_out": [], "made_with": {}, "run": "code"}',
    ],
)
def test_a_hostile_scorecard_is_one_line(text, tmp_path):
    (tmp_path / "scorecard.json").write_text(text)
    with pytest.raises(rr.InputError, match="is damaged") as caught:
        Scorecard.load(tmp_path / "scorecard.json")
    assert str(caught.value).isprintable()
    with pytest.raises(rr.InputError, match="there is no file"):
        Scorecard.load(tmp_path / "other")


def test_a_file_of_one_kind_is_none_of_another(results, tmp_path):
    path = results["invert_within"].save(tmp_path / "curve")
    with pytest.raises(rr.InputError, match="is not a saved Synthesis"):
        Synthesis.load(path)


def test_accuracies_are_a_tuple(results):
    clean, *attacked = found = results["evaluate"]
    assert isinstance(found, tuple)
    assert found[0] is clean
    assert found == (clean, *attacked)
    frame = found.to_frame()
    assert frame["name"].tolist() == ["clean", "PGD-1", "PGD-2"]
    assert frame["low"].tolist() == [one.interval()[0] for one in found]
    assert Accuracies([Accuracy("clean", 1, 2)]).to_frame()["accuracy"].tolist() == [0.5]


def test_tables_stand_in_the_order_of_the_images(results):
    curve = results["invert_within"]
    frame = curve.to_frame()
    assert frame["radius"].tolist() == [1.0] * 4 + [2.0] * 4
    assert frame["distance"].tolist() == curve.distance.flatten().tolist()
    seen = results["visualize"]
    row = seen.to_frame().iloc[5]
    assert (row["seed_image"], row["coordinate"]) == (2, 5)
    assert row["value"] == seen.value[2, 1]
    frame = results["most_activating"].to_frame()
    least = frame[(frame["coordinate"] == 5) & (frame["end"] == "least")]
    assert least["value"].tolist() == results["most_activating"].least.value[1].tolist()
    assert least["value"].is_monotonic_increasing


def test_images_that_were_not_kept_cannot_be_shown():
    found = rr.most_activating(wrapped(Linear(12), PLAIN), DATA, coordinates="all", k=2)
    with pytest.raises(rr.InputError, match="keep_images=True"):
        found.figure()
    assert found._repr_html_().startswith("<pre>Activations of 12 coordinates")


def test_every_kind_of_result_is_in_the_table():
    there = {kind for _, kind, _ in RESULTS.values()}
    kinds = {kind for kind in Result.__subclasses__() if kind.__module__.startswith("robust_reps")}
    assert kinds == there


def test_a_notebook_shows_the_first_images_of_many():
    many = X.repeat(20, 1, 1, 1)
    found = Synthesis(many, many, torch.ones(80), torch.ones(1, 80), torch.zeros(1), {}, {})
    assert len(found._some()) == 32
    assert found._some().figure().get_size_inches()[1] < 8
