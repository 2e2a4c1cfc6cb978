"""The families of networks that docs/models.md tells of, with random weights."""

from __future__ import annotations

import pytest
import timm
import torch
from robustness import cifar_models, imagenet_models
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torchvision import models as torchvision_models

MEAN, STD = 0.5, 0.25


NORMALIZE = ((MEAN,) * 3, (STD,) * 3)


CLASSES = 10


# What the table says of each family -> (what makes it, pixels, name of the last linear layer,
# whether its input has passed a ReLU).
FAMILIES = {
    "`robustness` resnet18": (imagenet_models.resnet18, 64, "fc", True),
    "`robustness` resnet50": (imagenet_models.resnet50, 64, "fc", True),
    "`robustness` vgg16": (imagenet_models.vgg16, 32, "classifier.6", True),
    "`robustness` densenet161": (imagenet_models.densenet161, 64, "classifier", True),
    "`robustness` resnet18 for CIFAR": (cifar_models.resnet18, 32, "linear", True),
    "torchvision resnet50": (torchvision_models.resnet50, 64, "fc", True),
    "torchvision wide_resnet50_2": (torchvision_models.wide_resnet50_2, 64, "fc", True),
    "torchvision vgg16_bn": (torchvision_models.vgg16_bn, 32, "classifier.6", True),
    "torchvision mobilenet_v2": (torchvision_models.mobilenet_v2, 64, "classifier.1", True),
    "torchvision convnext_tiny": (torchvision_models.convnext_tiny, 64, "classifier.2", False),
    "torchvision vit_b_16": (
        lambda num_classes: torchvision_models.vit_b_16(num_classes=num_classes, image_size=64),
        *(64, "heads.head", False),
    ),
    "torchvision swin_t": (torchvision_models.swin_t, 64, "head", False),
    "timm resnet26": ("resnet26", 64, "fc", True),
    "timm vit_tiny": ("vit_tiny_patch16_224", 224, "head", False),
    "timm convnext_atto": ("convnext_atto", 64, "head.fc", False),
    "timm efficientnet_b0": ("efficientnet_b0", 64, "classifier", False),
}


SOME_FAST = [
    pytest.param(name, marks=() if i % 4 == 0 else pytest.mark.slow)
    for i, name in enumerate(FAMILIES)
]


def made(name: str) -> nn.Module:
    make = FAMILIES[name][0]
    torch.manual_seed(0)
    if isinstance(make, str):
        return timm.create_model(make, num_classes=CLASSES).eval()
    return make(num_classes=CLASSES).eval()


def trained(network):
    """With statistics that are not those of a new network."""
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.1)
    return network.eval()
