"""Stands in for `torchvision.models.utils`, which torchvision dropped in 0.13.

Upstream's vgg, alexnet and squeezenet (robustness/imagenet_models) import one name from it.
"""

from torch.hub import load_state_dict_from_url

__all__ = ["load_state_dict_from_url"]
