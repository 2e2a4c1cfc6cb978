"""Networks as users have them: of one size, without a head, with other outputs, of other types."""

from __future__ import annotations

import logging

import pytest
import torch
import torchvision
from networks import WideResNet
from robustness.datasets import DATASETS
from torch import nn

import robust_reps_ext as rr
from robust_reps_ext.models.layers import RepresentationModel

HALF = ((0.5,) * 3, (0.25,) * 3)
FEW = {"iterations": 2, "step_size": 0.1}
PIXELS = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def warnings_in(caplog):
    return [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING]


def load(network, caplog, **given):
    torch.manual_seed(0)
    with caplog.at_level(logging.INFO, "robust_reps_ext"):
        return rr.load_model(network.eval(), **{"normalize": HALF, **given})


# -- of one size -----------------------------------------------------------------------------------

WIDE = {
    "WRN-10-1": WideResNet(),
    "WRN-16-2": WideResNet(16, 2),
    "WRN-22-1": WideResNet(22, 1),
    "WRN-10-2, SiLU, its own normaliser": WideResNet(10, 2, nn.SiLU, inside=True),
    "WRN-16-1, Swish": WideResNet(16, 1, nn.Hardswish),
    "WRN-10-1, leaky": WideResNet(10, 1, nn.LeakyReLU),
    "pre-activation ResNet": WideResNet(10, 1, stages=4),
    "pre-activation ResNet, SiLU": WideResNet(16, 1, nn.SiLU, stages=4),
}


@pytest.mark.parametrize("dataset", [None, "cifar"])
@pytest.mark.parametrize("name", WIDE)
def test_networks_for_32_pixels_are_loaded_and_read(name, dataset, caplog):
    network = WIDE[name]
    data = None if dataset is None else DATASETS[dataset]("")
    model = load(network, caplog, dataset=data)
    assert model.card["classes"] == 10
    assert (
        f"input of fc, {'not ' * (type(network.activation).__name__ != 'ReLU')}"
        in (model.card["representation"])
    )
    assert f"{network.width} coordinates" in model.card["representation"]
    latent = rr.representation(model, PIXELS)
    assert latent.shape == (3, network.width)
    with torch.no_grad():
        torch.testing.assert_close(network.fc(latent), model(PIXELS)[0])
    assert not [one for one in warnings_in(caplog) if "normaliser" not in one]
    found = rr.invert(model, PIXELS, **FEW)
    assert (found.objective < found.trace[0]).all()
    assert rr.evaluate(model, [(PIXELS, torch.arange(3))], eps=0.1, attack_steps=[1])[0].n == 3


class Sizes(WideResNet):
    """Notes the sizes that it is given."""

    def __init__(self):
        super().__init__()
        self.sizes = []

    def forward(self, x):
        self.sizes.append(x.shape[-1])
        return super().forward(x)


def test_the_size_of_the_data_is_tried_first_and_then_others(caplog):
    network = Sizes()
    load(network, caplog, dataset="cifar")
    assert set(network.sizes) == {32}
    network = Sizes()
    model = load(network, caplog)
    assert set(network.sizes) == {32}  # small images cost least
    assert rr.representation(model, PIXELS).shape == (3, network.width)

    network = Sizes()
    data = DATASETS["cifar"]("")
    data.size = 64  # as a data set of other images would say
    load(network, caplog, dataset=data)
    assert list(dict.fromkeys(network.sizes)) == [64, 32]


# -- what works is not refused ---------------------------------------------------------------------


class Standardised(nn.Module):
    """Each image is brought to deviation 1, so that a grey one becomes NaN."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3 * 16, 4)

    def forward(self, x):
        x = (x - x.mean((1, 2, 3), True)) / x.std((1, 2, 3), keepdim=True)
        return self.fc(nn.functional.adaptive_avg_pool2d(x, 4).flatten(1))


class Odd(nn.Module):
    """Of 50 pixels only."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3 * 50 * 50, 4)

    def forward(self, x):
        return self.fc(x.flatten(1))


class Raising(Odd):
    """Raises what no one expects, unless images are right."""

    def forward(self, x):
        if x.shape[-1] != 50:
            raise KeyError(x.shape[-1])
        return super().forward(x)


@pytest.mark.parametrize(
    ("make", "size", "said"),
    [(Standardised, 32, None), (Odd, 50, "takes no images of"), (Raising, 50, "takes no images")],
)
def test_a_network_that_works_is_loaded_at_most_with_a_warning(make, size, said, caplog):
    model = load(make(), caplog)
    told = warnings_in(caplog)
    assert len(told) == (said is not None)
    assert said is None or said in told[0]
    x = torch.rand(2, 3, size, size)
    found = rr.invert(model, x, start=x.flip(0), **FEW)
    assert found.objective.isfinite().all()
    if said is None:
        assert model.card["representation"].startswith("input of fc")


def test_logits_that_are_never_finite_are_refused(caplog):
    network = Standardised()
    network.forward = lambda x: network.fc(x[:, :, :4, :4].flatten(1)) / 0
    with pytest.raises(rr.InputError, match="not finite for grey and for noise"):
        load(network, caplog)


class Masked(WideResNet):
    """With a mask of attention beside it, as CLIP's text tower has."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mask", torch.full((4, 4), -torch.inf).triu(1))


def test_masks_of_attention_are_no_damaged_weights(caplog, tmp_path):
    network = Masked().eval()
    assert load(network, caplog).card["classes"]
    torch.save(network.state_dict(), tmp_path / "masked.pt")
    kept = rr.load_model(tmp_path / "masked.pt", arch=Masked(), normalize=HALF)
    assert torch.equal(kept.model.module.mask, network.mask)
    network.mask[0, 0] = torch.nan
    with pytest.raises(rr.InputError, match="mask of Masked holds NaN"):
        load(network, caplog)


# -- layers of networks without logits -------------------------------------------------------------


class Segmenting(nn.Module):
    """A score for each pixel: maps as they are, or in a dict as torchvision's."""

    def __init__(self, kind):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 6, 3, 2, 1), nn.ReLU())
        self.head = nn.Conv2d(6, 4, 1)
        self.kind = kind

    def forward(self, x):
        maps = nn.functional.interpolate(self.head(self.body(x)), size=x.shape[-2:])
        return {
            "maps": maps,
            "dict": {"out": maps, "aux": maps},
            "tuple": (maps, None),
            "list of dicts": [{"masks": maps}],
            "nothing": None,
        }[self.kind]


@pytest.mark.parametrize("kind", ["maps", "dict", "tuple", "list of dicts", "nothing"])
def test_with_a_layer_no_logits_are_needed(kind, caplog):
    model = load(Segmenting(kind), caplog, layer="body:mean")
    assert not warnings_in(caplog)
    assert model.card["representation"] == "output of body, pooled by mean, after a ReLU, 6 " + (
        "coordinates"
    )
    assert rr.representation(model, PIXELS).shape == (3, 6)
    found = rr.invert(model, PIXELS, **FEW)
    assert (found.objective < found.trace[0]).all()
    seen = rr.visualize(model, coordinates=[1, 2], seeds=PIXELS, **FEW)
    assert (seen.predicted == -1).all()
    assert rr.most_activating(model, [PIXELS], coordinates=[1], k=1).seen == 3
    with pytest.raises(rr.InputError, match="the model gives no logits"):
        rr.evaluate(model, [(PIXELS, torch.arange(3))])


# -- without a head --------------------------------------------------------------------------------


class Encoder(nn.Module):
    """A linear layer stands inside, and not at the end."""

    def __init__(self):
        super().__init__()
        self.embed, self.mix = nn.Conv2d(3, 8, 8, 8), nn.Linear(8, 8)

    def forward(self, x):
        tokens = self.embed(x).flatten(2).transpose(1, 2)
        return (tokens + self.mix(tokens)).mean(1)


def headless_resnet():
    network = torchvision.models.resnet18()
    network.fc = nn.Identity()
    return network


def timm_encoder(name):
    timm = pytest.importorskip("timm")
    return timm.create_model(name, num_classes=0)


class Attending(nn.Module):
    """The weights of its linear layer are used, the layer is not called: CLIP's attention pool."""

    def __init__(self):
        super().__init__()
        self.embed, self.project = nn.Conv2d(3, 8, 8, 8), nn.Linear(8, 5)

    def forward(self, x):
        return nn.functional.linear(self.embed(x).mean((2, 3)), self.project.weight)


HEADLESS = {
    "attention pool": (Attending, 5, True),
    "encoder": (Encoder, 8, False),
    "torchvision": (headless_resnet, 512, True),
    "timm resnet": (lambda: timm_encoder("resnet10t"), 512, True),
    "timm vit": (lambda: timm_encoder("test_vit"), None, False),
}


@pytest.mark.parametrize("name", HEADLESS)
def test_of_a_network_without_a_head_the_representation_is_what_it_returns(name, caplog):
    make, width, warned = HEADLESS[name]
    torch.manual_seed(0)
    network = make().eval()
    model = load(network, caplog)
    side = 160 if name == "timm vit" else 32
    x = torch.rand(2, 3, side, side)
    latent = rr.representation(model, x)
    with torch.no_grad():
        torch.testing.assert_close(latent, network(model.normalizer(x)))
    assert latent.shape == (2, width or network.num_features)
    told = [one for one in warnings_in(caplog) if "has no linear layer" in one]
    assert len(told) == warned
    assert not warned or f"what it returns, {width} numbers for an image" in told[0]
    found = rr.invert(model, x, **FEW)
    assert (found.objective < found.trace[0]).all()


class Tokens(nn.Module):
    """What a linear layer gives is added to, and tokens are returned beside what is pooled."""

    def __init__(self, ending):
        super().__init__()
        self.embed, self.mix = nn.Conv2d(3, 8, 8, 8), nn.Linear(8, 8)
        self.pooler, self.ending = nn.Linear(8, 8), ending

    def forward(self, x):
        tokens = self.embed(x).flatten(2).transpose(1, 2)
        mixed = self.mix(tokens)
        if self.ending == "a head for each":
            return mixed
        tokens = tokens + mixed
        pooled = self.pooler(tokens[:, 0]) if self.ending == "pooled" else None
        return {"tokens": tokens, "pooled": pooled}


@pytest.mark.parametrize(
    ("ending", "where", "width"),
    [
        ("tokens", "output of the network", 128),
        ("pooled", "input of pooler", 8),
        ("a head for each", "input of mix", 128),
    ],
)
def test_of_a_network_that_returns_tokens_it_is_said_what_is_read(ending, where, width, caplog):
    torch.manual_seed(0)
    network = Tokens(ending).eval()
    model = load(network, caplog)
    (told,) = warnings_in(caplog)
    assert f"Its representation is the {where}, not after a ReLU, {width} coordinates" in told
    latent = rr.representation(model, PIXELS)
    assert latent.shape == (3, width)
    if ending == "tokens":
        with torch.no_grad():
            found = network(model.normalizer(PIXELS))["tokens"]
        torch.testing.assert_close(latent, found.flatten(1))


# -- of other types --------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("layer", [None, "blocks:mean"])
def test_inputs_go_by_the_type_of_the_weights_and_results_are_float32(dtype, layer, caplog):
    network = WideResNet().to(dtype)
    model = load(network, caplog, layer=layer)
    assert not warnings_in(caplog)
    logits, latent = model(PIXELS, with_latent=True)[0]
    assert logits.dtype == latent.dtype == torch.float32
    assert {one.dtype for one in network.parameters()} == {dtype}
    torch.manual_seed(0)
    exact = RepresentationModel(WideResNet().eval(), layer=layer)
    exact.module.load_state_dict(network.state_dict())
    torch.testing.assert_close(
        latent, exact(model.normalizer(PIXELS), with_latent=True)[1], atol=0.05, rtol=0.05
    )
    assert rr.representation(model, PIXELS).dtype == torch.float32
    for found in (
        rr.invert(model, PIXELS, **FEW),
        rr.visualize(model, coordinates=[1], seeds=PIXELS, **FEW).synthesis,
        rr.add_feature(model, PIXELS, 1, **FEW),
    ):
        assert found.images.dtype == found.objective.dtype == torch.float32
        assert found.images.isfinite().all()
        assert (found.images - found.start).abs().max() > 0
    counted = rr.evaluate(model, [(PIXELS, torch.arange(3))], eps=0.1, attack_steps=[1])
    assert [one.n for one in counted] == [3, 3]
    kept = rr.most_activating(model, [PIXELS], coordinates=[1], k=1)
    assert kept.most.value.dtype == torch.float32
