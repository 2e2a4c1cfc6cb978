"""Folders in which some images cannot be read."""

from __future__ import annotations

import pytest
import torch
from bad_image_trees import BAD, CLASSES, EACH, SIZE, saved
from robustness import datasets
from torchvision import transforms

from robust_reps_ext.datasets.critters.networks import critters_resnet


@pytest.fixture
def tree(tmp_path):
    """Three classes of four images, each of its own grey; the 3rd and the 6th cannot be read."""
    for split in ("train", "val"):
        for i in range(len(CLASSES) * EACH):
            path = tmp_path / split / CLASSES[i // EACH] / f"{i:02}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"bad" if i in BAD else saved("PNG", color=(10 * i,) * 3, size=SIZE))
    return tmp_path


@pytest.fixture
def small(monkeypatch):
    """A data set of folders whose images are not resized."""

    class Small(datasets.DataSet):
        def __init__(self, data_path, **_):
            super().__init__(
                "small",
                data_path,
                num_classes=len(CLASSES),
                mean=torch.zeros(3),
                std=torch.ones(3),
                custom_class=None,
                label_mapping=None,
                transform_train=transforms.ToTensor(),
                transform_test=transforms.ToTensor(),
            )

        def get_model(self, arch, pretrained):
            return critters_resnet(num_classes=len(CLASSES))

    monkeypatch.setitem(datasets.DATASETS, "small", Small)
    return Small
