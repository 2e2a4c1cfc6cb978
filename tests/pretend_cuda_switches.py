"""What torch answers about the cards of `pretend_cuda`, in place of what it would say here."""

from __future__ import annotations

import contextlib
import sys
from types import SimpleNamespace
from unittest.mock import patch

import torch

GIB = 1 << 30
NO_STATE = torch.zeros(16, dtype=torch.uint8)


def _answers(card, index):
    """Of `torch.cuda`, by name."""

    def stream(device=None, **_options):
        return SimpleNamespace(device=device, wait_stream=lambda _other: None)

    @contextlib.contextmanager
    def device(which):
        before, card.current = card.current, index(which)
        try:
            yield
        finally:
            card.current = before

    def emptied():
        card.emptied += 1

    properties = SimpleNamespace(
        total_memory=80 * GIB, multi_processor_count=132, name="Pretended", major=card.capability[0]
    )
    return {
        "is_available": lambda: True,
        "device_count": lambda: card.cards,
        "current_device": lambda: card.current,
        "set_device": lambda which: setattr(card, "current", index(which)),
        "_lazy_init": lambda: None,
        "is_initialized": lambda: True,
        "synchronize": lambda _device=None: card.wait("synchronize"),
        "empty_cache": emptied,
        "reset_peak_memory_stats": lambda _device=None: None,
        "memory_allocated": lambda _device=None: 0,
        "memory_reserved": lambda _device=None: 0,
        "max_memory_allocated": lambda _device=None: 1,
        "mem_get_info": lambda _device=None: (80 * GIB, 80 * GIB),
        "get_device_name": lambda _device=0: "Pretended",
        "get_device_properties": lambda _device=0: properties,
        "get_device_capability": lambda _device=0: card.capability,
        "is_bf16_supported": lambda including_emulation=True: card.capability >= (8, 0),
        "manual_seed_all": lambda _seed: card.seeded.update(range(card.cards)),
        "manual_seed": lambda _seed: card.seeded.update([card.current]),
        "get_rng_state": lambda _device="cuda": NO_STATE,
        "set_rng_state": lambda _state, _device="cuda": None,
        "get_rng_state_all": lambda: [NO_STATE] * card.cards,
        "set_rng_state_all": lambda _states: None,
        "Stream": stream,
        "current_stream": stream,
        "stream": lambda _stream: contextlib.nullcontext(),
        "device": device,
    }


class _Autocast(torch.autocast):
    """The CPU's, in the type that the card would compute in."""

    def __init__(self, device_type, dtype=None, enabled=True, cache_enabled=None):
        if device_type == "cuda":
            device_type, dtype = "cpu", dtype or torch.float16
        super().__init__(device_type, dtype=dtype, enabled=enabled, cache_enabled=cache_enabled)


@contextlib.contextmanager
def pretended(card, card_of):
    """`torch` speaks of the cards of `card`."""

    def index(device):
        return card_of("cuda" if device is None else device).index

    parallel = sys.modules["torch.nn.parallel.data_parallel"]
    overwrite = torch.__future__.get_overwrite_module_params_on_conversion()
    with contextlib.ExitStack() as stack:
        for name, answer in _answers(card, index).items():
            stack.enter_context(patch.object(torch.cuda, name, answer))
        for owner, name, answer in (
            (torch, "autocast", _Autocast),
            (torch.amp, "autocast", _Autocast),
            (torch.Tensor, "is_pinned", lambda _self, *_device: False),
            (torch.accelerator, "current_accelerator", lambda *_a, **_k: torch.device("cuda")),
            (parallel, "_get_available_device_type", lambda: "cuda"),
            (parallel, "_get_all_device_indices", lambda: list(range(card.cards))),
            (parallel, "_check_balance", lambda _ids: None),
            (parallel, "scatter_kwargs", lambda args, words, *_, **__: ((args,), (words,))),
        ):
            stack.enter_context(patch.object(owner, name, answer))
        torch.__future__.set_overwrite_module_params_on_conversion(True)
        stack.callback(torch.__future__.set_overwrite_module_params_on_conversion, overwrite)
        yield
