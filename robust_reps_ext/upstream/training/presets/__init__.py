"""Training configurations as JSON files, for `python -m robustness.main --config-path`.

Those of Restricted ImageNet and ImageNet are the paper's (Tables 2 and 3), but for
`restricted_imagenet_vgg16`: the paper shows a VGG16 there and does not say how it was trained, so
that its standard ResNet-50's numbers stand in, with batch norm. An option given on the command line
wins over the file's.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from ....runtime.errors import InputError

__all__ = ["preset_names", "preset_path"]


def preset_names() -> tuple[str, ...]:
    """Names of the configurations, sorted.

    Examples
    --------
    >>> "restricted_imagenet_robust" in preset_names()
    True
    """
    return tuple(sorted(path.stem for path in _folder().glob("*.json")))


def preset_path(name: str) -> Path:
    """Where the configuration `name` lies.

    Raises
    ------
    InputError
        If there is none of that name.

    Examples
    --------
    >>> preset_path("imagenet_robust").name
    'imagenet_robust.json'
    """
    if name not in preset_names():
        raise InputError(f"no preset {name!r}: choose one of {', '.join(preset_names())}")
    return _folder() / f"{name}.json"


def _folder() -> Path:
    return Path(str(files(__name__)))
