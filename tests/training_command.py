"""`python -m robustness.main` in this process, on critters."""

from __future__ import annotations

import warnings

import torch
from torch import nn
from torch.utils.data import Dataset

import robust_reps_ext  # noqa: F401

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # upstream's word about apex
    from robustness import datasets


class Dots(Dataset):
    """Two classes: bright and dark 4x4 images."""

    def __init__(self, root, train, download, transform):
        self.targets = [index % 2 for index in range(12)]
        self.data = torch.rand(12, 3, 4, 4, generator=torch.Generator().manual_seed(int(train)))

    def __len__(self):
        return len(self.data)

    def __getitem__(self, index):
        return (self.data[index] + self.targets[index]) / 2, self.targets[index]


class Linear(nn.Module):
    """A linear classifier with upstream's forward call."""

    def __init__(self, classes):
        super().__init__()
        self.fc = nn.Linear(48, classes)

    def forward(self, x, with_latent=False, fake_relu=False, no_relu=False):
        flat = x.flatten(1)
        return (self.fc(flat), flat) if with_latent else self.fc(flat)


class DotsData(datasets.DataSet):
    """A user's own data set, made as upstream's documentation says."""

    def __init__(self, data_path, **kwargs):
        super().__init__(
            "dots",
            data_path,
            **{
                "num_classes": 2,
                "mean": torch.full((3,), 0.5),
                "std": torch.full((3,), 0.5),
                "custom_class": Dots,
                "transform_train": None,
                "transform_test": None,
                **kwargs,
            },
        )

    def get_model(self, arch, pretrained):
        return {"linear": Linear}[arch](self.num_classes)
