"""Upstream's architectures: what latent, fake_relu and no_relu mean, and weights that load."""

from __future__ import annotations

import hashlib
import importlib

import pytest
import torch
from robustness import cifar_models, imagenet_models
from torch.nn import functional as F

from robust_reps_ext.runtime.errors import InputError


def make(package, arch, **options):
    torch.manual_seed(0)
    return getattr(package, arch)(**options).eval()


def images(size, seed=3):
    return torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("arch", "size"), [("resnet18", 32), ("leaky_resnet18", 32), ("alexnet", 64), ("vgg11", 32)]
)
def test_no_relu_and_fake_relu_change_nothing_but_what_they_say(arch, size):
    model = make(imagenet_models, arch, num_classes=9)
    x = images(size)
    with torch.no_grad():
        logits = model(x)
        plain_logits, latent = model(x, with_latent=True)
        raw_logits, raw = model(x, with_latent=True, no_relu=True)
        fake_logits, fake = model(x, with_latent=True, fake_relu=True)
        bare = model(x, no_relu=True)
    for other in (plain_logits, raw_logits, fake_logits, bare):
        torch.testing.assert_close(other, logits)
    torch.testing.assert_close(fake, latent)
    assert (raw < 0).any()
    assert not torch.allclose(raw, latent)
    if arch in ("alexnet", "vgg11"):  # no pooling after the last ReLU
        torch.testing.assert_close(raw.clamp(min=0), latent)


@pytest.mark.parametrize("arch", ["resnet18", "leaky_resnet18"])
def test_fake_relu_lets_the_whole_gradient_through(arch):
    model = make(imagenet_models, arch, num_classes=9)

    def gradient(**options):
        _, latent = model(images(32), with_latent=True, **options)
        return torch.autograd.grad(latent.sum(), model.layer4[-1].bn2.weight)[0]

    torch.testing.assert_close(gradient(fake_relu=True), gradient(no_relu=True))
    assert not torch.allclose(gradient(fake_relu=True), gradient())


def test_squeezenet_has_all_three_latents():
    model = make(imagenet_models, "squeezenet1_1", num_classes=9)
    x = images(64)
    with torch.no_grad():
        logits, latent = model(x, with_latent=True)
        _, raw = model(x, with_latent=True, no_relu=True)
        fake_logits, fake = model(x, with_latent=True, fake_relu=True)
    torch.testing.assert_close(fake_logits, logits)
    torch.testing.assert_close(fake, latent)
    torch.testing.assert_close(F.relu(raw), latent)
    assert (raw < 0).any()


@pytest.mark.parametrize(("arch", "size"), [("alexnet", 256), ("vgg11", 256)])
def test_channels_last_images_give_the_same_logits(arch, size):
    model = make(imagenet_models, arch, num_classes=9)
    x = images(size)[:1]
    with torch.no_grad():
        expected = model(x)
        found = model.to(memory_format=torch.channels_last)(x.to(memory_format=torch.channels_last))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_state_dicts_keep_upstreams_names():
    names = set(make(imagenet_models, "alexnet").state_dict())
    assert {"last_layer.weight", "classifier.4.bias", "features.0.weight"} <= names
    assert len(names) == 16


@pytest.fixture
def published(tmp_path, monkeypatch):
    """A folder that stands for the server of pretrained weights."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))

    def publish(arch, weights, *, digest=None):
        path = tmp_path / "weights.pth"
        torch.save(weights, path, _use_new_zipfile_serialization=False)
        digest = digest or hashlib.sha256(path.read_bytes()).hexdigest()[:8]
        path = path.rename(tmp_path / f"{arch}-{digest}.pth")
        # As an attribute, `alexnet` is the function.
        part = importlib.import_module(f"robustness.imagenet_models.{arch.rstrip('0123456789')}")
        monkeypatch.setitem(part.model_urls, arch, path.as_uri())

    return publish


def test_alexnet_takes_torchvisions_weights(published):
    torchvision_models = pytest.importorskip("torchvision.models")
    source = torchvision_models.alexnet(num_classes=1000).eval()
    published("alexnet", source.state_dict())
    model = imagenet_models.alexnet(pretrained=True, progress=False).eval()
    x = images(64)
    with torch.no_grad():
        torch.testing.assert_close(model(x), source(x))


def test_weights_are_checked_before_they_are_used(published):
    weights = make(imagenet_models, "resnet18").state_dict()
    published("resnet18", weights, digest="0123abcd")
    with pytest.raises(RuntimeError, match="hash"):
        imagenet_models.resnet18(pretrained=True, progress=False)
    published("resnet18", weights)
    loaded = imagenet_models.resnet18(pretrained=True, progress=False)
    assert torch.equal(loaded.fc.weight, weights["fc.weight"])


class Evil:
    def __reduce__(self):
        return (pytest.fail, ("the file ran code",))


def test_weights_run_no_code(published):
    published("resnet18", {"fc.weight": Evil()})
    with pytest.raises(Exception, match=r"[Ww]eights"):
        imagenet_models.resnet18(pretrained=True, progress=False)


def test_weights_that_nobody_published_are_refused():
    with pytest.raises(InputError, match=r"wide_resnet50_3: .*wide_resnet50_2"):
        imagenet_models.resnet.model_urls["wide_resnet50_3"]
    assert "resnet50" in imagenet_models.resnet.model_urls


def test_cifar_architectures_can_be_made():
    thin = make(cifar_models, "resnet18thin", num_classes=3)
    assert thin.linear.in_features == 384
    assert cifar_models.ResNet18Thin is cifar_models.resnet18thin
    assert thin(images(32)).shape == (2, 3)
    assert cifar_models.inceptionv3(num_classes=4).linear.out_features == 4
    assert cifar_models.resnet34 is cifar_models.ResNet34
