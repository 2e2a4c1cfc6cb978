"""Networks of one channel and of more than three, from training to pictures."""

from __future__ import annotations

import base64
import io
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from networks import wrapped
from PIL import Image
from safetensors.torch import load_file
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import robust_reps_ext as rr
from robust_reps_ext.models.converting import convert
from robust_reps_ext.models.inputs import channels_of
from robust_reps_ext.models.loading import weights_digest
from robust_reps_ext.report.activations import ModelActivations, write_activations
from robust_reps_ext.report.page import encoder, write_report
from robust_reps_ext.results.tensorboard import show
from robust_reps_ext.results.units import Found, Heading, keep

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # upstream's word about apex
    from robustness import datasets, model_utils, train
    from robustness.attacker import AttackerModel
    from robustness.tools.helpers import InputNormalize
from tiny_training import BEST, options

STUDY = {
    "models": {"robust": {"name": "r", "arch": "x", "weights": "0"}},
    "data": {"name": "mine", "side": 8, "folder": "", "images": 2},
    "scale": {"name": "tiny"},
    "seed": 0,
}
FEW = {"iterations": 2, "step_size": 0.5}


class Network(nn.Module):
    """Three classes by convolutions, of images of any number of channels."""

    def __init__(self, channels=1):
        super().__init__()
        self.conv = nn.Conv2d(channels, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.fc = nn.Linear(6, 3)

    def forward(self, x, with_latent=False, fake_relu=False, no_relu=False):
        latent = self.norm(self.conv(x)).relu().mean((2, 3))
        return (self.fc(latent), latent) if with_latent else self.fc(latent)


class Digits(torch.utils.data.Dataset):
    """Images of one channel, as MNIST's are after `ToTensor`."""

    def __init__(self, root, train, download, transform):
        seeded = torch.Generator().manual_seed(int(train))
        self.images = torch.rand(12, 1, 28, 28, generator=seeded)

    def __len__(self):
        return len(self.images)

    def __getitem__(self, i):
        return self.images[i], i % 3


class DigitsData(datasets.DataSet):
    """Its mean and deviation are single numbers."""

    def __init__(self, data_path="", **kwargs):
        given = {
            "num_classes": 3,
            "mean": torch.tensor(0.1307),
            "std": torch.tensor(0.3081),
            "custom_class": Digits,
            "label_mapping": None,
            "transform_train": None,
            "transform_test": None,
        }
        super().__init__("digits", data_path, **self.override_args(given, kwargs))

    def get_model(self, arch, pretrained):
        return {"small": Network}[arch]()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """`checkpoint.pt.best` of upstream's `train_model`, and the model that it is of."""
    out = tmp_path_factory.mktemp("run")
    torch.manual_seed(0)
    data = DigitsData()
    model = AttackerModel(Network(), data)
    loaders = data.make_loaders(0, 4)
    train.train_model(options(out, adv_train=1, epochs=1), model, loaders)
    return out / BEST, model.eval()


@pytest.fixture(scope="module")
def images():
    return torch.rand(4, 1, 28, 28, generator=torch.Generator().manual_seed(3))


def test_what_upstream_has_trained_is_loaded_resumed_and_converted(trained, images, tmp_path):
    best, model = trained
    with torch.no_grad():
        expected = model(images)[0]
    out = tmp_path / "model.safetensors"
    card = convert(best, out, arch="small", dataset=DigitsData())
    assert card["normalizer"] == {"mean": [0.1307], "std": [0.3081]}
    assert set(load_file(out)) == set(Network().state_dict())
    again, checkpoint = model_utils.make_and_restore_model(
        arch="small", dataset=DigitsData(), resume_path=str(best), parallel=False
    )
    assert checkpoint["epoch"] == 1
    for loaded in (
        rr.load_model(best, arch="small", dataset=DigitsData()),
        rr.load_model(best, arch=Network()),
        rr.load_model(out, arch=Network()),
        again.eval(),
    ):
        assert channels_of(loaded) == 1
        with torch.no_grad():
            torch.testing.assert_close(loaded(images)[0], expected)
        assert weights_digest(loaded) == weights_digest(model)
    loaded(images, expected.argmax(1), make_adv=True, constraint="2", eps=1.0, step_size=0.5,
           iterations=2)  # fmt: skip


EXPERIMENTS = {
    "invert": lambda m, x: rr.invert(m, x, **FEW),
    "invert_within": lambda m, x: rr.invert_within(m, x, x.flip(0), radii=(1, 2), **FEW),
    "interpolate": lambda m, x: rr.interpolate(m, x, x.flip(0), steps=2, **FEW),
    "visualize": lambda m, x: rr.visualize(m, coordinates=[1, 2], seeds=x, **FEW),
    "visualize, Fourier": lambda m, x: rr.visualize(
        m, coordinates=[1, 2], seeds=x, parameterization="fourier", transform="jitter,rotate", **FEW
    ),
    "add_feature": lambda m, x: rr.add_feature(m, x, 2, **FEW),
    "most_activating": lambda m, x: rr.most_activating(m, [x], coordinates=[1], k=2),
    "evaluate": lambda m, x: rr.evaluate(
        m, DataLoader(TensorDataset(x, torch.arange(len(x)) % 3), 2), eps=0.5, attack_steps=[2]
    ),
}


@pytest.mark.parametrize("channels", [1, 2, 5])
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_takes_any_number_of_channels(name, channels, trained, tmp_path):
    if channels == 1:
        model = rr.load_model(trained[0], arch="small", dataset=DigitsData())
    else:
        data = SimpleNamespace(mean=torch.full((channels,), 0.5), std=torch.full((channels,), 0.2))
        model = wrapped(Network(channels), data)
    x = torch.rand(3, channels, 16, 16, generator=torch.Generator().manual_seed(1))
    found = EXPERIMENTS[name](model, x)
    assert found.figure().axes
    again = type(found).load(found.save(tmp_path / "kept"))
    assert again.to_frame().equals(found.to_frame())
    if hasattr(found, "images"):
        assert found.images.shape[-3:] == x.shape[1:]
        assert 0 <= float(found.images.min()) <= float(found.images.max()) <= 1


def test_fourier_steps_are_undone_for_any_number_of_channels():
    from robust_reps_ext.experiments.regularizers import DecorrelatedFourierStep

    for channels in (1, 2, 3, 4, 6):
        x = torch.rand(2, channels, 8, 10) * 0.8 + 0.1
        z = DecorrelatedFourierStep.from_image(x)
        assert z.shape == (2, channels, 8, 6, 2)
        torch.testing.assert_close(DecorrelatedFourierStep.image_of(z, 10), x)
    # Without three channels, none is mixed with another.
    z = DecorrelatedFourierStep.from_image(torch.full((1, 2, 4, 4), 0.5))
    z[0, 0, 0, 0, 0] += 1
    found = DecorrelatedFourierStep.image_of(z, 4)
    assert float(found[0, 0].min()) > 0.5
    torch.testing.assert_close(found[0, 1], torch.full((4, 4), 0.5))


@pytest.mark.parametrize("shape", [(), (1,), (1, 1, 1), (3,), (3, 1, 1), (1, 3, 1, 1)])
def test_a_normaliser_of_any_shape_is_one_number_a_channel(shape):
    mean, std = torch.full(shape, 0.25), torch.full(shape, 0.5)
    channels = max(1, mean.numel())
    normalizer = InputNormalize(mean, std)
    assert normalizer.new_mean.shape == normalizer.new_std.shape == (channels, 1, 1)
    x = torch.rand(2, channels, 4, 4)
    torch.testing.assert_close(normalizer(x), (x - 0.25) / 0.5)
    data = DigitsData(mean=mean, std=std.tolist())
    assert data.mean.shape == data.std.shape == (channels,)


def test_shards_of_one_channel_are_read_as_they_were_made(tmp_path, trained, monkeypatch):
    from robust_reps_ext.datasets.webshards import WebShards

    monkeypatch.setitem(datasets.DATASETS, "digits", DigitsData)
    model = rr.load_model(trained[0], arch="small", dataset=DigitsData())
    rr.robustify(model, DigitsData(str(tmp_path)), tmp_path / "shards", **FEW)
    image, _ = WebShards(tmp_path / "shards", transform_train=np.asarray)._images(
        str(tmp_path / "shards"), True, False, np.asarray
    )[0]
    assert image.shape == (28, 28)
    pages = list((tmp_path / "shards").glob("*.png"))
    assert all(Image.open(one).size for one in pages)


def kept(channels):
    images = torch.rand(2, channels, 8, 8, generator=torch.Generator().manual_seed(0))
    numbers = torch.rand(2)
    settings = {"objective": "x", "eps": 1.0, "step_size": 1.0, "iterations": 1}
    settings |= {"precision": "float32", "schedule": "paper"}
    return rr.Synthesis(images, images, numbers, numbers[None], torch.zeros(1), settings, {})


@pytest.mark.parametrize(
    ("channels", "given", "said"),
    [(1, None, ""), (2, None, "channel 0 of 2"), (5, (4, 3, 2), "channels 4, 3, 2 of 5")],
)
def test_pages_show_any_number_of_channels_and_say_which(channels, given, said, tmp_path):
    made = kept(channels)
    heading = Heading("fig6", "grid", "Figure 6", "Inversion")
    found = Found({"robust": made}, {"labels": ["a", "b"], "start": "images"})
    keep(tmp_path, heading, found, {"digest": "0", "study": STUDY})
    text = write_report(tmp_path, ["fig6"], channels=given).read_text()
    assert (f"Of the images {said} are shown." in text) == bool(said)
    uri = encoder(92, 256, given)(made.images)[0]
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))
    chosen = made.images[0, list(given or [0])].mean(0).numpy() * 255
    assert abs(shown.mean() - chosen.mean()) < 6


def test_the_page_of_activations_says_which_channels(tmp_path):
    model = wrapped(Network(5), SimpleNamespace(mean=torch.zeros(5), std=torch.ones(5)))
    x = torch.rand(4, 5, 8, 8)
    found = rr.most_activating(model, [x], coordinates="all", k=1)
    models = [ModelActivations(found, "m", {"arch": "x"})]
    page = write_activations(tmp_path / "page.html", models, x.__getitem__, names=(), data="mine")
    assert "mine, channels 0, 1, 2 of 5" in page.read_text()


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_tensorboard_shows_any_number_of_channels(channels, tmp_path):
    from tensorboardX import SummaryWriter

    with SummaryWriter(str(tmp_path)) as writer:
        show(writer, "robust", kept(channels))
    [events] = tmp_path.iterdir()
    assert events.read_bytes().count(b"PNG") == 2
    assert (b"of_%d" % channels in events.read_bytes()) == (channels > 1)


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_upstreams_rows_of_images_show_one_channel_as_grey(channels, monkeypatch):
    import matplotlib.pyplot as plt
    from robustness.tools import vis_tools

    figures = []
    monkeypatch.setattr(plt, "close", lambda: figures.append(plt.gcf()))
    vis_tools.show_image_row([torch.rand(2, channels, 4, 4)])
    monkeypatch.undo()
    plt.close("all")
    shown = figures[0].axes[0].images[0].get_array()
    assert shown.shape == (4, 4, 3)
    assert (shown == shown[..., :1]).all() == (channels < 3)
