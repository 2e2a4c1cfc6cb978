"""The public checkpoints of robust networks: where they are, and what was published of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = ["PUBLIC", "PublicModel"]

NORMS = {"L2": "2", "Linf": "inf"}


@dataclass(frozen=True)
class PublicModel:
    """A published checkpoint.

    Attributes
    ----------
    url
        Its address.
    arch
        Name of the architecture.
    dataset
        Name of the data set that it was trained on.
    trained
        The perturbations that it was trained against: ``"L2, eps 3"``, or ``"standard"``.
    accuracies
        Published accuracies in percent.
    licence
        SPDX identifier of what publishes it, or ``"not stated"``.
    citation
        Where it was published.
    size
        In bytes, None where it is not known.
    sha256
        In hexadecimal, None where none was published.
    """

    url: str
    arch: str
    dataset: str
    trained: str
    accuracies: dict[str, float]
    licence: str
    citation: str
    size: int | None = field(default=None)
    sha256: str | None = field(default=None)

    @property
    def attack(self) -> dict[str, Any]:
        """Constraint and eps of `trained`, as a checkpoint has them; empty where there are none.

        Examples
        --------
        >>> PUBLIC["cifar_linf_8"].attack
        {'constraint': 'inf', 'eps': 0.03137254901960784}
        """
        norm, _, radius = self.trained.partition(", eps ")
        if norm not in NORMS:
            return {}
        number, _, parts = radius.partition("/")
        return {"constraint": NORMS[norm], "eps": float(number) / float(parts or 1)}

    @property
    def file(self) -> str:
        """The name of the file."""
        return self.url.partition("?")[0].rpartition("/")[2]


_ENGSTROM = (
    "Engstrom et al., Adversarial Robustness as a Prior for Learned Representations, "
    "arXiv:1906.00945"
)
_LIBRARY = "Engstrom et al., Robustness (Python Library), 2019, github.com/MadryLab/robustness"
_SALMAN = (
    "Salman et al., Do Adversarially Robust ImageNet Models Transfer Better?, arXiv:2007.08489"
)

# Name, server, data set, trained against, accuracies; these from the paper's Table 4.
_OF_NOTEBOOKS: tuple[tuple[str, str, str, str, dict[str, float]], ...] = (
    ("RestrictedImageNet", "http://andrewilyas.com", "restricted_imagenet", "L2, eps 3",
     {"clean": 92.39, "PGD-20 L2 eps 3": 81.91}),
    ("RestrictedImageNetNat", "https://robustmodels.s3.amazonaws.com", "restricted_imagenet",
     "standard", {"clean": 98.01, "PGD-20 L2 eps 3": 4.74}),
    ("CIFAR", "http://andrewilyas.com", "cifar", "not stated", {}),
)  # fmt: skip

# File, place, data set, trained against, accuracies; from the README of the library.
_OF_LIBRARY: tuple[tuple[str, str, str, str, dict[str, float]], ...] = (
    ("cifar_nat", "yhpp4yws7sgi6lj", "cifar", "standard", {"clean": 95.25}),
    ("cifar_l2_0_25", "2qsp7pt6t7uo71w", "cifar", "L2, eps 0.25",
     {"clean": 92.77, "PGD-20 L2 eps 0.25": 81.21}),
    ("cifar_l2_0_5", "1zazwjfzee7c8i4", "cifar", "L2, eps 0.5",
     {"clean": 90.83, "PGD-20 L2 eps 0.5": 70.17}),
    ("cifar_l2_1_0", "s2x7thisiqxz095", "cifar", "L2, eps 1",
     {"clean": 81.62, "PGD-20 L2 eps 1": 52.72}),
    ("cifar_linf_8", "c9qlt1lbdnu9tlo", "cifar", "Linf, eps 8/255",
     {"clean": 87.03, "PGD-20 Linf eps 8/255": 53.49}),
    ("imagenet_l2_3_0", "knf4uimlqsi1yz8", "imagenet", "L2, eps 3",
     {"clean": 57.90, "PGD-20 L2 eps 3": 35.16}),
    ("imagenet_linf_4", "axfuary2w1cnyrg", "imagenet", "Linf, eps 4/255",
     {"clean": 62.42, "PGD-20 Linf eps 4/255": 33.58}),
    ("imagenet_linf_8", "yxn15a9zklz3s8q", "imagenet", "Linf, eps 8/255",
     {"clean": 47.91, "PGD-20 Linf eps 8/255": 19.63}),
)  # fmt: skip

# Clean accuracies, from the README of robust-models-transfer.
_L2_EPS = ("0", "0.01", "0.03", "0.05", "0.1", "0.25", "0.5", "1", "3", "5")
_L2 = {
    "resnet18": (69.79, 69.90, 69.24, 69.15, 68.77, 67.43, 65.49, 62.32, 53.12, 45.59),
    "resnet50": (75.80, 75.68, 75.76, 75.59, 74.78, 74.14, 73.16, 70.43, 62.83, 56.13),
    "wide_resnet50_2": (76.97, 77.25, 77.26, 77.17, 76.74, 76.21, 75.11, 73.41, 66.90, 60.94),
    "wide_resnet50_4": (77.91, 78.02, 77.87, 77.77, 77.64, 77.10, 76.52, 75.51, 69.67, 65.20),
}
_L2_TWO = {
    "densenet": (77.37, 66.98),
    "mnasnet": (60.97, 41.83),
    "mobilenet": (65.26, 50.40),
    "resnext50_32x4d": (77.38, 66.25),
    "shufflenet": (64.25, 43.32),
    "vgg16_bn": (73.66, 57.19),
}
_TRANSFER_URL = "https://huggingface.co/madrylab/robust-imagenet-models/resolve/main"
_LINF_EPS = ("0.5", "1.0", "2.0", "4.0", "8.0")
_LINF = {
    "resnet18": (66.13, 63.46, 59.63, 52.49, 42.11),
    "resnet50": (73.73, 72.05, 69.10, 63.86, 54.53),
    "wide_resnet50_2": (75.82, 74.65, 72.35, 68.41, 60.82),
}
# Norm, what they are trained against, radii, accuracies.
_OF_TRANSFER = (
    ("l2", "L2, eps {}", _L2_EPS, _L2),
    ("l2", "L2, eps {}", ("0", "3"), _L2_TWO),
    ("linf", "Linf, eps {}/255", _LINF_EPS, _LINF),
)
_ARCHITECTURES = {
    "densenet": "densenet161",
    "mnasnet": "mnasnet1_0",
    "mobilenet": "mobilenet_v2",
    "shufflenet": "shufflenet_v2_x1_0",
}
# Size and sha256 of the files, where they are known.
_OF_FILES = {
    "resnet50_linf_eps4.0": (
        204_818_947,
        "9e62216975c111b8081481533b6142dec34be69abe5d90b54d7f860015c263db",
    ),
}


def _public() -> dict[str, PublicModel]:
    found = {}
    for name, server, data, trained, shares in _OF_NOTEBOOKS:
        url = f"{server}/{name}.pt"
        found[name] = PublicModel(url, "resnet50", data, trained, shares, "not stated", _ENGSTROM)
    for name, place, data, trained, shares in _OF_LIBRARY:
        url = f"https://www.dropbox.com/s/{place}/{name}.pt?dl=1"
        found[name] = PublicModel(url, "resnet50", data, trained, shares, "MIT", _LIBRARY)
    for norm, against, radii, rows in _OF_TRANSFER:
        for network, accuracies in rows.items():
            for eps, clean in zip(radii, accuracies, strict=True):
                name = f"{network}_{norm}_eps{eps}"
                found[name] = PublicModel(
                    f"{_TRANSFER_URL}/{name}.ckpt",
                    _ARCHITECTURES.get(network, network),
                    "imagenet",
                    "standard" if eps == "0" else against.format(eps.removesuffix(".0")),
                    {"clean": clean},
                    "MIT",
                    _SALMAN,
                    *_OF_FILES.get(name, ()),
                )
    return found


PUBLIC = _public()
"""Name (that of the published file) -> model."""
