"""A pretended card: tensors that say they lie on CUDA, compute on the CPU, and tell on their use.

    with PretendCuda(cards=2) as card:
        model = rr.load_model("critters-robust", device="cuda:1")
        ...
    card.mixed      # operations that got tensors of two devices: errors on a card
    card.waits      # Counter of (kind, "file:line"): where the host waits for the card
    card.staged     # the same of copies that do not wait for what the card has to do
    card.launches   # operations that ran on the card, of about one kernel each
    card.seeded     # Counter of cards whose generator was seeded

Values are the CPU's, but for convolutions (and matrix products, where torch is told so), whose
inputs are rounded to TF32 as on cards since Ampere. It knows nothing of kernels, timing, memory,
races, what cuDNN chooses, nccl, or replicas over several cards.
"""

from __future__ import annotations

import contextlib
import sys
from collections import Counter

import torch
from pretend_cuda_switches import pretended
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map

PACKAGE = "/robust_reps_ext/"
OURS = (__file__, __file__.replace(".py", "_switches.py"))
aten = torch.ops.aten

_current = None


def card_of(device):
    """`device` as a `torch.device`, with the number of a card where it is one."""
    device = torch.device("cuda", device) if isinstance(device, int) else torch.device(device)
    if device.type == "cuda" and device.index is None:
        return torch.device("cuda", _current.current if _current else 0)
    return device


def place():
    """The innermost line of the package on the stack, or the innermost outside torch."""
    frame, other = sys._getframe(2), None
    while frame is not None:
        name = frame.f_code.co_filename
        if PACKAGE in name:
            return f"{name.rpartition(PACKAGE)[2]}:{frame.f_lineno}"
        if other is None and "/torch/" not in name and name not in OURS:
            other = f"{name.rpartition('/')[2]}:{frame.f_lineno}"
        frame = frame.f_back
    return other or "?"


def _not_on_the_host(*_args, **_options):
    raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() first")


class OnCard(torch.Tensor):
    """`elem`, a tensor on the CPU, which says that it lies on a card."""

    @staticmethod
    def __new__(cls, elem, card):
        made = torch.Tensor._make_wrapper_subclass(
            cls,
            elem.size(),
            strides=elem.stride(),
            storage_offset=elem.storage_offset(),
            dtype=elem.dtype,
            layout=elem.layout,
            device="cpu",
        )
        made.elem, made.card = elem, card
        return made

    def __init__(self, *_args):
        pass

    __torch_function__ = torch._C._disabled_torch_function_impl
    device = property(lambda self: self.card)
    is_cuda = property(lambda _self: True)
    is_cpu = property(lambda _self: False)
    numpy = __array__ = _not_on_the_host

    def get_device(self):
        return self.card.index

    def data_ptr(self):
        return self.elem.data_ptr()

    def is_pinned(self):
        return False

    def record_stream(self, _stream):
        pass

    def tolist(self):
        _current.wait("tolist")
        return self.elem.tolist()

    def __repr__(self):
        return f"OnCard({self.elem!r}, {self.card})"

    def __deepcopy__(self, memo):
        made = OnCard(self.elem.detach().clone(), self.card).requires_grad_(self.requires_grad)
        if getattr(self, "_is_param", False):
            made._is_param = True
        memo[id(self)] = made
        return made

    def __reduce_ex__(self, _protocol):
        return torch.Tensor.detach, (self.elem,)

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return _run(func, args, kwargs or {})


# No kernel runs for these.
FREE = {
    getattr(getattr(aten, name), overload)
    for name, overload in (
        *((name, "default") for name in ("detach", "alias", "view", "_unsafe_view", "expand", "t")),
        *((name, "default") for name in ("permute", "unsqueeze", "squeeze", "as_strided")),
        *((name, "default") for name in ("_reshape_alias", "view_as_real", "view_as_complex")),
        *((name, "default") for name in ("empty_like", "lift_fresh", "split_with_sizes")),
        *((name, "default") for name in ("unfold", "diagonal", "is_pinned", "new_empty")),
        *((name, "default") for name in ("new_empty_strided", "record_stream")),
        *((name, "int") for name in ("transpose", "select", "unbind")),
        *(("slice", "Tensor"), ("split", "Tensor"), ("squeeze", "dim"), ("squeeze", "dims")),
        ("view", "dtype"),
    )
}

# The host reads their result, or its size.
WAITS = {
    aten._local_scalar_dense.default: "item",
    aten.nonzero.default: "nonzero",
    aten.masked_select.default: "masked_select",
    aten.equal.default: "equal",
    aten._unique2.default: "unique",
    aten.unique_dim.default: "unique",
    aten.unique_consecutive.default: "unique",
    aten.bincount.default: "bincount",
    aten.repeat_interleave.Tensor: "repeat_interleave",
    aten._linalg_check_errors.default: "linalg_check_errors",
}

INDEXED = (
    aten.index.Tensor,
    aten.index_put.default,
    aten.index_put_.default,
    aten._index_put_impl_.default,
    aten._unsafe_index.Tensor,
)

# Which arguments a tensor core reads.
CONVOLUTIONS = {aten.convolution.default: (0, 1), aten.convolution_backward.default: (0, 1, 2)}
PRODUCTS = {aten.mm.default: (0, 1), aten.addmm.default: (1, 2), aten.bmm.default: (0, 1)}


def tf32(x):
    """Float32 rounded to the ten bits of mantissa of TF32."""
    bits = x.clone(memory_format=torch.preserve_format)
    whole = bits.view(torch.int32)
    whole.add_(0x1000).bitwise_and_(~0x1FFF)
    return bits


def _rounded(func, args):
    """The arguments as the card's tensor cores see them."""
    which = CONVOLUTIONS.get(func, ()) if torch._C._get_cudnn_allow_tf32() else ()
    which = which or (PRODUCTS.get(func, ()) if torch._C._get_cublas_allow_tf32() else ())
    return [
        tf32(one) if i in which and one.dtype == torch.float32 else one
        for i, one in enumerate(args)
    ]


def _run(func, args, kwargs):
    card = _current
    leaves = [one for one in tree_leaves((args, kwargs)) if isinstance(one, torch.Tensor)]
    there = [one for one in leaves if isinstance(one, OnCard)]
    at = there[0].card
    wrapper = {id(one.elem): one for one in there}
    bad = None
    if func is aten.copy_.default:
        at = _copied(card, *args[:2], later=bool(args[2:3] or kwargs.get("non_blocking")))
    elif func in INDEXED:
        at, bad = _indexed(card, args)
    elif len({one.card for one in there}) > 1:
        bad = " and ".join(sorted({str(one.card) for one in there}))
    elif strangers := [one for one in leaves if not isinstance(one, OnCard) and one.dim()]:
        bad = f"the CPU, {tuple(strangers[0].shape)}, and {at}"
    if bad:
        card.bad(func, bad)
    if func in WAITS:
        card.wait(WAITS[func])
    if func not in FREE and at is not None:
        card.launch(func)
    if func is aten.record_stream.default:
        return None
    inside = tree_map(lambda one: one.elem if isinstance(one, OnCard) else one, (args, kwargs))
    out = func(*(_rounded(func, inside[0]) if card.has_tf32 else inside[0]), **inside[1])

    def wrapped(one):
        if not isinstance(one, torch.Tensor) or isinstance(one, OnCard) or at is None:
            return wrapper.get(id(one), one) if isinstance(one, torch.Tensor) else one
        return wrapper[id(one)] if id(one) in wrapper else OnCard(one, at)

    return tree_map(wrapped, out)


def _copied(card, to, source, later):
    if isinstance(to, OnCard) and isinstance(source, OnCard):
        if to.card != source.card:
            card.staged[("card to card", place())] += 1
    elif isinstance(to, OnCard):
        card.wait("to the card", later=later)
    else:
        card.wait("to the CPU")
    return to.card if isinstance(to, OnCard) else None


def _indexed(card, args):
    """Where the result is, and what is wrong."""
    rows = [one for one in args[1] if one is not None]
    if not isinstance(args[0], OnCard):
        return None, "rows of a card in a tensor of the CPU"
    for one in rows:
        if not isinstance(one, OnCard):
            card.wait("rows to the card")
        elif one.dtype in (torch.bool, torch.uint8):
            card.wait("nonzero of a mask")
    stranger = len(args) > 2 and not isinstance(args[2], OnCard) and args[2].dim() > 0
    return args[0].card, "values of the CPU put into a card" if stranger else None


class _Move(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, device):
        ctx.home = x.device
        return _moved(x.detach(), device)

    @staticmethod
    def backward(ctx, gradient):
        return _moved(gradient, ctx.home), None


def _moved(x, device):
    elem = x.elem if isinstance(x, OnCard) else x
    copied = elem.detach().clone(memory_format=torch.preserve_format)
    return OnCard(copied, device) if device.type == "cuda" else copied


def _to(x, device=None, dtype=None, later=False, copy=False, memory_format=None):
    if device is not None:
        device, here = card_of(device), x.device
        if device != here:
            if "cpu" in (here.type, device.type):
                kind = "to the card" if here.type == "cpu" else "to the CPU"
                _current.wait(kind, later=later and here.type == "cpu")
            else:
                _current.staged[("card to card", place())] += 1
            with torch._C.DisableTorchFunction():
                tracked = x.requires_grad and torch.is_grad_enabled()
                x = _Move.apply(x, device) if tracked else _moved(x, device)
            copy = False
    rest = {"memory_format": memory_format} if memory_format is not None else {}
    if dtype is None and not copy and not rest:
        return x
    return torch.Tensor.to(x, dtype=dtype or x.dtype, copy=copy, **rest)


def _words_of_to(x, *rest, device=None, dtype=None, non_blocking=False, copy=False, **more):
    """The arguments of `Tensor.to`, which has three forms, as those of `_to`."""
    rest = [more.pop("other"), *rest] if "other" in more else list(rest)
    if rest and isinstance(rest[0], torch.Tensor):
        like = rest.pop(0)
        device, dtype = like.device, like.dtype
    elif rest and isinstance(rest[0], torch.dtype):
        dtype = rest.pop(0)
    elif rest:
        device = rest.pop(0)
        if rest and (rest[0] is None or isinstance(rest[0], torch.dtype)):
            dtype = rest.pop(0)
    later = rest[0] if rest else non_blocking
    return (x, device, dtype, later, rest[1] if rest[1:] else copy, more.get("memory_format"))


class _Functions(TorchFunctionMode):
    """Follows tensors to the card, and makes new ones there."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if func is torch.Tensor.to:
            words = _words_of_to(*args, **kwargs)
            if words[1] is None and not isinstance(words[0], OnCard):
                return func(*args, **kwargs)
            return _to(*words)
        if func is torch.Tensor.cpu:
            return _to(args[0], "cpu")
        if func is torch.Tensor.cuda:
            device = args[1] if len(args) > 1 else kwargs.get("device")
            device = "cuda" if device is None else device
            return _to(args[0], device, later=kwargs.get("non_blocking", False))
        if func is torch.Tensor.pin_memory or (
            func is torch.as_tensor and isinstance(args[0], OnCard)
        ):
            return args[0]
        if func is torch.Tensor.new_tensor and isinstance(args[0], OnCard):
            _current.wait("to the card")
            made = torch.tensor(args[1], dtype=kwargs.get("dtype", args[0].dtype))
            return OnCard(made, args[0].card)
        device = kwargs.get("device")
        if device is None or card_of(device).type != "cuda":
            return func(*args, **kwargs)
        return _made(func, args, kwargs, card_of(kwargs.pop("device")))


def _made(func, args, kwargs, device):
    """What a function with `device=` makes on the card."""
    kwargs.pop("pin_memory", None)
    name = getattr(func, "__name__", str(func))
    generator = kwargs.get("generator")
    if generator is not None and generator.device.type == "cpu":
        _current.bad(func, "a generator of the CPU for a tensor on the card")
    if name in ("tensor", "as_tensor"):
        _current.wait("to the card")
    made = func(*args, **kwargs)
    _current.launch(func)
    if isinstance(made, OnCard):
        return made
    return OnCard(made.detach(), device).requires_grad_(made.requires_grad)


class PretendCuda:
    """A machine with so many cards, for as long as the block runs.

    Parameters
    ----------
    cards
        How many.
    capability
        Of each: (7, 5) computes in neither bfloat16 nor TF32.
    strict
        Whether an operation on two devices raises what torch raises, or is noted only.
    """

    def __init__(self, cards=1, *, capability=(9, 0), strict=True):
        self.cards, self.capability, self.strict, self.current = cards, capability, strict, 0
        self.has_tf32 = capability >= (8, 0)
        self.mixed, self.launches = [], 0
        self.waits, self.staged, self.operations = Counter(), Counter(), Counter()
        self.seeded, self.emptied = Counter(), 0

    def wait(self, kind, *, later=False):
        (self.staged if later else self.waits)[(kind, place())] += 1

    def launch(self, func):
        self.launches += 1
        self.operations[str(func)] += 1

    def bad(self, func, why):
        self.mixed.append((str(func), why, place()))
        if self.strict:
            raise RuntimeError(
                f"Expected all tensors to be on the same device: {why} ({func}, {place()})"
            )

    def forget(self):
        """Count from here on."""
        self.launches = 0
        for counter in (self.waits, self.staged, self.operations, self.seeded):
            counter.clear()

    def __enter__(self):
        global _current
        assert _current is None, "there is one machine"
        _current = self
        self._stack = contextlib.ExitStack()
        self._stack.enter_context(pretended(self, card_of))
        self._stack.enter_context(_Functions())
        return self

    def __exit__(self, *error):
        global _current
        self._stack.close()
        _current = None
