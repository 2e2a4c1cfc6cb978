"""`.cuda()` that does nothing, for scripts written for CUDA on a machine without it.

The one place that touches `torch` itself, and only when asked: by ``ROBUST_REPS_EXT_CUDA_NOOP=1``
(from the first import of `robustness` on, with a warning) or inside ``with compat_cuda():``.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..runtime.environment import is_on

__all__ = ["active", "arm", "compat_cuda", "wanted"]

VARIABLE = "ROBUST_REPS_EXT_CUDA_NOOP"


def wanted() -> bool:
    """Whether the environment asks for it."""
    return is_on(VARIABLE)


def active() -> bool:
    """Whether `.cuda()` is a no-op now."""
    import torch

    return torch.Tensor.cuda is _stay


def arm() -> None:
    """Make `.cuda()` a no-op for the rest of the process, if asked and if there is no CUDA."""
    if not wanted():
        return
    import torch

    if active() or torch.cuda.is_available():
        return
    _replace(_stay, _stay)
    warnings.warn(
        f"{VARIABLE} is set and there is no CUDA: tensor.cuda() and module.cuda() now do nothing",
        RuntimeWarning,
        stacklevel=2,
    )


@contextmanager
def compat_cuda() -> Iterator[None]:
    """Make `.cuda()` of tensors and modules return them as they are, where there is no CUDA.

    With CUDA it changes nothing. Other calls (``.to("cuda")``, ``torch.cuda.synchronize()``)
    keep their meaning. It holds for the whole process, other threads included.

    Examples
    --------
    >>> import torch
    >>> from robust_reps_ext.upstream.cuda_noop import compat_cuda
    >>> with compat_cuda():
    ...     torch.zeros(2).cuda().sum().item()
    0.0
    """
    import torch

    if active() or torch.cuda.is_available():
        yield
        return
    originals = torch.Tensor.cuda, torch.nn.Module.cuda
    _replace(_stay, _stay)
    try:
        yield
    finally:
        _replace(*originals)


def _stay(self: Any, *_args: Any, **_kwargs: Any) -> Any:
    return self


def _replace(tensor_cuda: Any, module_cuda: Any) -> None:
    import torch

    torch.Tensor.cuda = tensor_cuda  # type: ignore[method-assign]
    torch.nn.Module.cuda = module_cuda  # type: ignore[method-assign]
