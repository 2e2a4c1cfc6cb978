"""Which architectures a state dict may belong to, by the names and a few shapes of its weights."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping

from torch import Tensor

from ...upstream import registry

__all__ = ["FAMILIES", "candidates", "timm_candidates"]

_RESNETS = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")
_VGGS = ("vgg11", "vgg13", "vgg16", "vgg19")
_DENSENETS = ("densenet121", "densenet161", "densenet169", "densenet201")

FAMILIES: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    (
        "imagenet",
        ("fc.weight", "layer1.0.conv1.weight"),
        (
            *_RESNETS,
            "wide_resnet50_2",
            "wide_resnet50_3",
            "wide_resnet50_4",
            "wide_resnet101_2",
            "resnext50_32x4d",
            "resnext101_32x8d",
        ),
    ),
    ("torchvision", ("fc.weight", "layer1.0.conv1.weight"), ("resnext101_64x4d",)),
    (
        "imagenet",
        ("features.0.weight", "classifier.6.weight"),
        (*_VGGS, *(f"{name}_bn" for name in _VGGS)),
    ),
    ("imagenet", ("features.0.weight", "last_layer.weight"), ("alexnet",)),
    ("torchvision", ("features.10.weight", "classifier.6.weight"), ("alexnet",)),
    ("imagenet", ("features.denseblock1.denselayer1.norm1.weight",), _DENSENETS),
    ("imagenet", ("features.3.squeeze.weight",), ("squeezenet1_0", "squeezenet1_1")),
    ("cifar", ("linear.weight", "layer1.0.conv1.weight"), (*_RESNETS, "resnet18wide")),
    ("cifar", ("features.0.weight", "classifier.weight"), _VGGS),
    ("cifar", ("linear.weight", "dense1.0.bn1.weight"), _DENSENETS),
    ("torchvision", ("features.18.0.weight", "features.0.0.weight"), ("mobilenet_v2",)),
    (
        "torchvision",
        ("features.1.block.0.0.weight", "classifier.3.weight"),
        ("mobilenet_v3_large", "mobilenet_v3_small"),
    ),
    (
        "torchvision",
        ("layers.0.weight", "layers.14.weight"),
        ("mnasnet0_5", "mnasnet0_75", "mnasnet1_0", "mnasnet1_3"),
    ),
    (
        "torchvision",
        ("conv5.0.weight", "stage2.0.branch2.0.weight"),
        ("shufflenet_v2_x0_5", "shufflenet_v2_x1_0", "shufflenet_v2_x1_5", "shufflenet_v2_x2_0"),
    ),
    (
        "torchvision",
        ("features.1.0.block.0.0.weight", "classifier.1.weight"),
        (
            *(f"efficientnet_b{i}" for i in range(8)),
            *("efficientnet_v2_s", "efficientnet_v2_m", "efficientnet_v2_l"),
        ),
    ),
    (
        "torchvision",
        ("class_token", "conv_proj.weight"),
        ("vit_b_16", "vit_b_32", "vit_l_16", "vit_l_32", "vit_h_14"),
    ),
    (
        "torchvision",
        ("features.1.0.layer_scale",),
        ("convnext_tiny", "convnext_small", "convnext_base", "convnext_large"),
    ),
    (
        "torchvision",
        ("features.1.0.attn.relative_position_bias_table", "head.weight"),
        ("swin_t", "swin_s", "swin_b"),
    ),
    (
        "torchvision",
        ("features.1.0.attn.cpb_mlp.0.weight", "head.weight"),
        ("swin_v2_t", "swin_v2_s", "swin_v2_b"),
    ),
)
"""Set of architectures, weights that all members of a family have, members.

Leaky ResNets have the weights of ResNets, and regnets are slow to make: they go by name only.
"""


def candidates(state: Mapping[str, Tensor]) -> list[tuple[str, str]]:
    """The (set, name) of each architecture of ours, upstream's and torchvision's to try."""
    found = [
        (family, name)
        for family, marks, names in FAMILIES
        if all(mark in state for mark in marks)
        for name in names
    ]
    return found + [
        (family, name)
        for family, address in registry.NETWORKS.items()
        for name in registry.load(address)
    ]


def timm_candidates(state: Mapping[str, Tensor]) -> list[str]:
    """The names of timm's networks to try, the likely ones of the family; none without timm."""
    if importlib.util.find_spec("timm") is None:
        return []
    from timm.models import list_models

    for marks, modules, likely in _TIMM:
        if all(mark in state for mark in marks):
            pattern = re.compile(likely(state))
            names = [name for module in modules for name in list_models(module=module)]
            return [name for name in names if pattern.search(name)]
    return []


def _resnet(state: Mapping[str, Tensor]) -> str:
    convolutions = [n for n in state if re.fullmatch(r"layer\d+\.\d+\.conv\d+\.weight", n)]
    return rf"\D{len(convolutions) + 2}(\D|$)"


def _vit(state: Mapping[str, Tensor]) -> str:
    width, _, patch, _ = _shape(state, "patch_embed.proj.weight", 4)
    names = {192: "tiny", 384: "small", 768: "base", 1024: "large", 1280: "huge"}
    return rf"_{names.get(width, '')}.*patch{patch}_"


def _convnext(state: Mapping[str, Tensor]) -> str:
    names = {40: "atto", 48: "femto", 64: "pico", 80: "nano", 96: "(tiny|small|zepto)"}
    names |= {128: "base", 192: "_large", 256: "xlarge", 352: "xxlarge"}
    return names.get(_shape(state, "stem.0.weight", 4)[0], "")


def _efficientnet(state: Mapping[str, Tensor]) -> str:
    names = {1280: "_b[01]|_lite0|mobilenetv2_1[01]0|mobilenetv3_large_100", 1408: "_b2|mobilenet"}
    names |= {1536: "_b3", 1792: "_b4", 2048: "_b5", 2304: "_b6", 2560: "_b7"}
    return names.get(_shape(state, "classifier.weight", 2)[1], "")


def _any(state: Mapping[str, Tensor]) -> str:
    return ""


def _shape(state: Mapping[str, Tensor], name: str, dims: int) -> tuple[int, ...]:
    shape = tuple(state[name].shape)
    return shape if len(shape) == dims else (0,) * dims


# Weights that all members of a family have, timm's modules, and what likely names contain.
_TIMM = (
    (("layer1.0.conv1.weight", "fc.weight"), ("resnet",), _resnet),
    (
        ("cls_token", "patch_embed.proj.weight", "blocks.0.attn.qkv.weight", "head.weight"),
        ("vision_transformer", "deit"),
        _vit,
    ),
    (("stem.0.weight", "stages.0.blocks.0.conv_dw.weight"), ("convnext",), _convnext),
    (
        ("conv_stem.weight", "blocks.0.0.bn1.weight", "classifier.weight"),
        ("efficientnet", "mobilenetv3"),
        _efficientnet,
    ),
    (("patch_embed.proj.weight", "layers.0.blocks.0.attn.qkv.weight"), ("swin_transformer",), _any),
    (("pre_logits.fc1.weight", "features.0.weight"), ("vgg",), _any),
)
