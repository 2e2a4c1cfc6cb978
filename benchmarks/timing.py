"""What the benchmarks share: sides timed in turns, peak memory, the machine, its matmul rate,
and networks as other libraries want them.
"""

from __future__ import annotations

import os
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from robustness import imagenet_models
from robustness.attacker import AttackerModel
from torch import Tensor, nn

__all__ = [
    "Logits",
    "in_turns",
    "machine",
    "matmul_rate",
    "peak_memory",
    "random_resnet50",
    "table",
]


def in_turns(
    sides: Mapping[str, Callable[[], object]],
    rounds: int,
    *,
    warm: bool = False,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Seconds of each call, `rounds` for each side, after one that does not count unless `warm`.

    On a busy machine, give ``clock=time.process_time``: the processors' time of this process.
    """
    if not warm:
        for call in sides.values():
            call()
    times: dict[str, list[float]] = {name: [] for name in sides}
    for i in range(rounds):
        for name in list(sides)[:: 1 if i % 2 else -1]:
            begun = clock()
            sides[name]()
            times[name].append(clock() - begun)
    return times


def matmul_rate(dtype: torch.dtype, size: int = 2048) -> float:
    """Floating-point operations a second of a square matrix product, best of 20."""
    a, b = (torch.randn(size, size).to(dtype) for _ in range(2))
    return 2 * size**3 / min(in_turns({"": lambda: a @ b}, 20)[""])


def random_resnet50() -> nn.Module:
    """A ResNet-50 for nine classes with random weights and statistics, in evaluation mode."""
    network: nn.Module = imagenet_models.resnet50(num_classes=9).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return network


def peak_memory() -> int:
    """Bytes that this process held at most: its largest resident size; on CUDA, of torch's."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated()
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size if sys.platform == "darwin" else 1024 * size


def machine() -> str:
    """Processor, threads, versions, and how busy the machine was."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text("utf-8").splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return (
        f"{names[0] if names else platform.processor()}, {torch.get_num_threads()} threads, "
        f"torch {torch.__version__}, Python {platform.python_version()}, "
        f"load {os.getloadavg()[0]:.1f} of {os.cpu_count()} cores"
    )


def table(times: Mapping[str, list[float]], reference: str, per: int = 1) -> None:
    """Print the median of each side, its quartiles, and its share of the reference's."""
    middle = statistics.median(times[reference])
    for name, values in times.items():
        low, median, high = statistics.quantiles(values, n=4)
        print(
            f"{name:28s} {1000 * median / per:8.1f} ms "
            f"(middle half {1000 * low / per:.1f} to {1000 * high / per:.1f}), "
            f"{median / middle:.3f} of {reference}"
        )


class Logits(nn.Module):
    """The logits of images in [0, 1], as other libraries want them."""

    def __init__(self, model: AttackerModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.model(x)[0]
        return found
