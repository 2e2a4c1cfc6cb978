"""The slips of everyday use, in Python: each is taken as it is meant, or told in one line.

docs/errors.md has the table; whoever changes a message finds the new one in the test's.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch
import torchvision
from PIL import Image
from test_every_call import Network, made
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder

import robust_reps_ext as rr

DOCS = Path(__file__).parents[1] / "docs" / "errors.md"
TAKEN = "taken"

# Images, then models, then options, then what goes through data, then results.
SLIPS = """\
rr.invert(model, images.permute(0, 2, 3, 1))
rr.invert(model, images.permute(0, 2, 3, 1).numpy(), iterations=2)
rr.invert(model, images.numpy(), iterations=2)
rr.invert(model, pictures, iterations=2)
rr.invert(model, [Image.new("RGB", (8, 8)), Image.new("RGB", (9, 8))])
rr.invert(model, ImageFolder("photos"), iterations=2)
rr.invert(model, DataLoader(ImageFolder("photos")))
rr.invert(model, "photos/*/*.png", iterations=2)
rr.invert(model, "nowhere.png")
rr.invert(model, images * 255)
rr.invert(model, (images - 0.5) / 0.25)
rr.invert(model, images[0])
rr.invert(model, images[:, :1])
rr.invert(model, images.tolist())
rr.invert(model, None)
rr.invert(model, "https://example.org/cat.jpg")
rr.invert(model, images[:1], start="photos/cat/1.png", iterations=2)
rr.invert(model, images, start="zeros")
rr.invert(model, images, start=images[:1])
rr.interpolate(model, images, images[:1])
rr.visualize(model, coordinates=1, seeds=4)
rr.load_images("photos", size="32")
rr.load_images("photos", size=32, fit="squash")
rr.invert(images, model)
rr.invert(network, images)
rr.invert(network.state_dict(), images)
rr.invert("robust.pt", images)
rr.invert("critters-robst", images)
rr.invert(network, images, normalize=[0.5, 0.5, 0.5])
rr.invert(network, images, normalize="imagenet")
rr.invert(model, images, normalize=([0.5] * 3, [0.2] * 3))
rr.load_model(network.state_dict())
rr.load_model(torchvision.models.resnet18)
rr.load_model(network, dataset="cifar10")
rr.load_model(network, device="gpu")
rr.invert(model, images, iterations="100")
rr.invert(model, images, iterations=10.5)
rr.invert(model, images, iterations=0)
rr.invert(model, images, eps="3")
rr.invert(model, images, eps=-1)
rr.invert(model, images, eps=[1, 2, 3])
rr.invert(model, images, step_size="auto")
rr.invert(model, images, batch_size="4")
rr.invert(model, images, seed="0")
rr.invert(model, images, iters=100)
rr.invert(model, images, steps=100)
rr.invert(model, images, lr=0.1)
rr.invert(model, images, epsilon=3)
rr.invert(model, images, device="cuda")
rr.invert(model, images, schedule="adam")
rr.invert(model, images, precision="fp16")
rr.invert(model, images, progress="yes")
rr.invert(model, images, layer="layer4")
rr.invert(model, images, layer=-1)
rr.invert_within(model, images, images, radii=3)
rr.invert_within(model, images, images, radii="2,8")
rr.invert_within(model, images, images, eps=3)
rr.interpolate(model, images, images, steps="5")
rr.visualize(model, coordinates=1, seeds=images, iterations=2)
rr.visualize(model, coordinates="1", seeds=images)
rr.visualize(model, coordinates=9999, seeds=images)
rr.metamers(model, images, layers="body.2")
rr.robustify(model, images, "out")
rr.scorecard(model, model, images)
rr.resemblance(images, "photos/*/1.png")
rr.metamers(model, images, layers=["penultimate"], null=images)
rr.most_activating(model, images, coordinates=[0])
rr.most_activating(model, [images], coordinates=0, k=9)
rr.evaluate(model, ImageFolder("photos"), attack_steps=[2])
rr.evaluate(model, DataLoader(ImageFolder("photos")))
rr.evaluate(model, "photos")
rr.evaluate(model, images)
rr.evaluate(model, (images, labels))
rr.evaluate(model, [(images, labels)], attack_steps=20)
rr.evaluate(model, [(images, labels)], attack_steps="20,100")
rr.evaluate(model, [(images, labels)], eps="8/255")
rr.evaluate(model, [(images, ["cat", "dog", "cat", "dog"])])
rr.evaluate(model, [(images, torch.eye(3)[labels])])
rr.evaluate(model, [(images, labels + 500)])
rr.evaluate(model, [])
rr.synthesize(model, rr.RepresentationMatching(), images, images, {"eps": 3})
rr.results("nowhere")
rr.Synthesis.load("photos/cat/1.png")
""".splitlines()


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    """What the slips are made with."""
    folder = tmp_path_factory.mktemp("slips")
    for kind, colour in (("cat", (90, 20, 10)), ("dog", (10, 90, 20))):
        (folder / "photos" / kind).mkdir(parents=True)
        Image.new("RGB", (8, 8), colour).save(folder / "photos" / kind / "1.png")
    torch.manual_seed(0)
    return {
        "folder": folder,
        "model": made(False)[0],
        "network": Network(),
        "images": torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0)),
        "labels": torch.tensor([0, 1, 2, 1]),
        "pictures": [Image.new("RGB", (8, 8), (90, 20, 10))] * 2,
        **{one.__name__: one for one in (DataLoader, Image, ImageFolder, rr, torch, torchvision)},
    }


def said(line, names):
    """What is said to a line, as docs/errors.md has it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "the objective has no gradient")
        try:
            eval(line, {**names, "rr": rr, "Image": Image})
        except rr.InputError as error:
            return str(error)
    return TAKEN


def row(line, names):
    return f"| `{line}` | {said(line, names)} |"


@pytest.mark.parametrize("line", SLIPS)
def test_a_slip_is_taken_or_told_in_one_line(line, names, monkeypatch):
    monkeypatch.chdir(names["folder"])
    told = row(line, names)
    assert "\n" not in told
    assert told in DOCS.read_text("utf-8").splitlines(), told
