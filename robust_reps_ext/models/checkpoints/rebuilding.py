"""What a checkpoint may build: tensors over its own storages, numbers, and plain containers."""

from __future__ import annotations

import math
import pickle
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch

from ...runtime.plain_values import PLAIN, Builder, as_dict, keys, plain

__all__ = ["ALLOWED", "rebuild_tensor"]

_MAX_DIMENSIONS = 32


def rebuild_tensor(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> torch.Tensor:
    """View a one-dimensional `storage` as a tensor, after checking that it lies within.

    Raises
    ------
    pickle.UnpicklingError
        If the tensor reaches beyond its storage or repeats it.
    """
    if not isinstance(storage, torch.Tensor):
        raise pickle.UnpicklingError(f"a tensor is built from a {type(storage).__name__}")
    lengths = (*_sizes(size), *_sizes(stride), *_sizes((offset,)))
    if len(size) != len(stride) or len(size) > _MAX_DIMENSIONS:
        raise pickle.UnpicklingError(f"a tensor has {len(size)} sizes and {len(stride)} strides")
    shape = "x".join(str(length)[:30] for length in size) or "scalar"
    count = math.prod(size)
    last = lengths[-1] + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if count and (last >= len(storage) or count > len(storage)):
        raise pickle.UnpicklingError(
            f"a tensor of shape {shape} has a storage of {len(storage):,} elements"
        )
    if not count:
        return torch.empty(tuple(size), dtype=storage.dtype)
    return torch.as_strided(storage, tuple(size), tuple(stride), offset)


def _sizes(numbers: Any) -> tuple[int, ...]:
    if not isinstance(numbers, (tuple, list)) or not all(
        type(number) is int and number >= 0 for number in numbers
    ):
        raise pickle.UnpicklingError("a tensor has sizes that are no whole numbers")
    return tuple(numbers)


def _rebuild_tensor_v3(
    storage: Any, offset: Any, size: Any, stride: Any, _grad: Any, _hooks: Any, dtype: Any, *_: Any
) -> torch.Tensor:
    return rebuild_tensor(storage.view(dtype), offset, size, stride)


def _rebuild_parameter(data: Any, *_: Any) -> torch.Tensor:
    if not isinstance(data, torch.Tensor):
        raise pickle.UnpicklingError(f"a parameter is built from a {type(data).__name__}")
    return data


def _rebuild_from_type(builder: Any, _type: Any, arguments: Any, *_: Any) -> Any:
    if not isinstance(builder, Builder) or builder.function not in _TENSOR_BUILDERS:
        raise pickle.UnpicklingError("a tensor is built by something else than PyTorch")
    return builder.function(*arguments)


_TENSOR_BUILDERS: tuple[Callable[..., Any], ...] = (
    rebuild_tensor,
    _rebuild_tensor_v3,
    _rebuild_parameter,
)


def _counter(items: Any = ()) -> Counter[Any]:
    return Counter(as_dict(items) if isinstance(items, dict) else keys(plain(items)))


_BUILDERS: dict[str, Callable[..., Any]] = {
    "torch._utils._rebuild_tensor": rebuild_tensor,
    "torch._utils._rebuild_tensor_v2": rebuild_tensor,
    "torch._utils._rebuild_tensor_v3": _rebuild_tensor_v3,
    "torch._utils._rebuild_parameter": _rebuild_parameter,
    "torch._utils._rebuild_parameter_with_state": _rebuild_parameter,
    "torch._tensor._rebuild_from_type_v2": _rebuild_from_type,
    "torch.nn.parameter.Parameter": _rebuild_parameter,
    "torch.Size": lambda sizes=(): torch.Size(_sizes(sizes)),
    "torch.device": lambda kind, *index: torch.device(kind, *index),
    "collections.defaultdict": lambda _factory=None, items=(): as_dict(items),
    "collections.Counter": _counter,
}

_STORAGES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "ComplexFloatStorage": torch.complex64,
    "ComplexDoubleStorage": torch.complex128,
    "UntypedStorage": torch.uint8,
}

# Without the quantised and sub-byte kinds, which are no plain numbers in memory.
_DTYPES = {*_STORAGES.values(), torch.float8_e4m3fn, torch.float8_e5m2}

ALLOWED: dict[str, Any] = {
    **PLAIN,
    **{name: Builder(name, function) for name, function in _BUILDERS.items()},
    **{f"torch.{str(dtype).partition('.')[2]}": dtype for dtype in _DTYPES},
    **{
        f"{module}.{name}": dtype
        for module in ("torch", "torch.cuda", "torch.storage")
        for name, dtype in _STORAGES.items()
    },
    "torch.Tensor": torch.Tensor,
    "torch._tensor.Tensor": torch.Tensor,
}
"""Every import a checkpoint may make: `Builder` for calls, constants for types and dtypes."""
