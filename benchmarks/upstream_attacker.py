"""`robustness`' own attacker and training, untouched, on a machine without CUDA."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import robustness
import torch

__all__ = ["upstream_attacker", "upstream_module", "without_cuda"]


def upstream_attacker() -> ModuleType:
    """`robustness.attacker` under another name, which no mend touches."""
    return upstream_module("attacker")


def upstream_module(name: str) -> ModuleType:
    """Any module of `robustness`, likewise: ``upstream_module("train")``."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if "pristine" not in sys.modules:
            _load_package()
        return importlib.import_module(f"pristine.{name}")


def _load_package() -> None:
    folder = Path(robustness.__file__).parent
    spec = importlib.util.spec_from_file_location(
        "pristine", folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None
    assert spec.loader is not None
    sys.modules["pristine"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules["pristine"])


@contextmanager
def without_cuda() -> Iterator[None]:
    """Upstream calls `.cuda()`; in the block that is the identity where there is no CUDA."""
    if torch.cuda.is_available():
        yield
        return
    cuda = torch.Tensor.cuda
    torch.Tensor.cuda = lambda self, *_, **__: self
    try:
        yield
    finally:
        torch.Tensor.cuda = cuda
