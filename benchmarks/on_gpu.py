"""What is measured first on a card, a block at a time: ``python benchmarks/on_gpu.py BLOCK``.

`on_gpu.sh` runs all of them, each with a limit and a file of its own. With ``--device cpu`` the
same lines run on small networks: a rehearsal, whose numbers say nothing of a card.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torchvision
from robustness.attacker import AttackerModel
from timing import machine, random_resnet50
from torch import Tensor, nn

import robust_reps_ext as rr
from robust_reps_ext.models import fast
from robust_reps_ext.runtime.precision import amp_dtype
from robust_reps_ext.synthesis.settings import Settings
from robust_reps_ext.upstream.attack import pgd

HALF = ((0.5,) * 3, (0.25,) * 3)
LAYOUTS = {"contiguous": torch.contiguous_format, "channels last": torch.channels_last}
PRECISIONS = ("float32", "tf32", "float16", "bfloat16")


class Machine:
    """Where it runs, how much of it, and until when."""

    def __init__(self, device: str, seconds: float) -> None:
        self.device, self.ends = torch.device(device), time.monotonic() + seconds
        self.is_card = self.device.type == "cuda"
        self.side = 224 if self.is_card else 32
        self.batches = (1, 8, 32, 128) if self.is_card else (1, 2)
        self.steps = 10 if self.is_card else 2

    def wait(self) -> None:
        if self.is_card:
            torch.cuda.synchronize(self.device)

    def over(self) -> bool:
        return time.monotonic() > self.ends

    def images(self, n: int) -> Tensor:
        drawn = torch.rand(n, 3, self.side, self.side, generator=torch.Generator().manual_seed(n))
        return drawn.to(self.device)

    def model(self, network: nn.Module) -> AttackerModel:
        return rr.load_model(network, normalize=HALF, device=self.device, check=False)

    def resnet(self) -> AttackerModel:
        """A ResNet-50, on the CPU a ResNet-18."""
        torch.manual_seed(0)
        small = torchvision.models.resnet18(num_classes=9).eval()
        return self.model(random_resnet50() if self.is_card else small)

    def milliseconds(self, call: Callable[[], object], times: int) -> tuple[float, float]:
        """Each call's, until the host has asked for it, and until it is done."""
        call()
        self.wait()
        began = time.perf_counter()
        for _ in range(times):
            call()
        asked = time.perf_counter()
        self.wait()
        return 1000 * (asked - began) / times, 1000 * (time.perf_counter() - began) / times


def tell(*words: object) -> None:
    print(*words, flush=True)


@contextmanager
def told(what: str) -> Iterator[None]:
    """What fails is a line, and the next is tried."""
    try:
        yield
    except Exception as error:
        tell(f"{what}: FAILED {type(error).__name__}: {str(error).splitlines()[:1]}")


def smoke(here: Machine) -> None:
    """An inversion and an evaluation, beside the CPU's."""
    images = torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    data = [(images, torch.tensor([0, 20, 40, 60]))]
    results = []
    for device in ("cpu", here.device):
        model = rr.load_model("critters-robust", device=device)
        with told(f"on {device}"):
            found = rr.invert(model, images.flip(0), start=images, iterations=5 * here.steps)
            accuracies = [str(one) for one in rr.evaluate(model, data, eps=0.5, attack_steps=[3])]
            tell(device, found.settings["computed_in"], found.objective.tolist(), accuracies)
            results.append(found)
    off = (results[0].images - results[1].images.cpu()).abs().max()
    tell(
        f"largest difference of a pixel {off:.3g}, of the objective",
        f"{(results[0].objective - results[1].objective).abs().max():.3g}",
    )


def copies(here: Machine) -> None:
    """The fast copy, with TF32 switched on and off outside of its check."""
    names = ("resnet18", "resnet50", "densenet121", "vgg16_bn", "mobilenet_v2")
    for name in names if here.is_card else names[:1]:
        for allowed in (True, False):
            with told(name), torch.backends.cudnn.flags(allow_tf32=allowed):
                torch.manual_seed(0)
                model = here.model(getattr(torchvision.models, name)(num_classes=9).eval())
                x = model.normalizer(here.images(2))
                copy = fast.checked_copy(model.model, x, lambda net, x=x: (net(x).sum(1), net(x)))
                with torch.no_grad():
                    off = 0 if copy is None else (copy.network(x) - model.model(x)).abs().max()
                tell(f"{name}, TF32 {allowed}: accepted {copy is not None}, off by {off:.3g}")


def _computing(precision: str) -> Any:
    return torch.backends.cudnn.flags(allow_tf32=precision == "tf32")


def _step(model: Any, network: nn.Module, x: Tensor, target: Tensor, dtype: Any) -> Any:
    """One step of matching as PGD makes it, in place, so that it can be captured."""
    matching = rr.RepresentationMatching()

    def step() -> None:
        leaf = x.detach().requires_grad_(True)
        reduced = torch.autocast(x.device.type, dtype, cache_enabled=False)
        with reduced if dtype is not None else nullcontext():
            values, _ = matching(network, model.normalizer(leaf), target)
        (gradient,) = torch.autograd.grad(values.sum(), leaf)
        x.copy_(
            (x - 0.1 * gradient / gradient.flatten(1).norm(dim=1).view(-1, 1, 1, 1)).clamp(0, 1)
        )

    return step


def _captured(step: Callable[[], None], here: Machine) -> Callable[[], None]:
    if not here.is_card:
        raise RuntimeError("a CPU has no graphs of launches")
    side = torch.cuda.Stream(here.device)
    side.wait_stream(torch.cuda.current_stream(here.device))
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.current_stream(here.device).wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def steps(here: Machine) -> None:
    """Milliseconds a step: batch x network or copy x layout x precision x graph."""
    for precision in PRECISIONS:
        dtype = getattr(torch, precision) if precision.startswith(("float16", "b")) else None
        with told(f"products in {precision}"):
            side = 4096 if here.is_card else 256
            a = torch.randn(side, side, device=here.device, dtype=dtype or torch.float32)
            torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
            _, ms = here.milliseconds(partial(torch.mm, a, a), here.steps)
            tell(f"matrix products in {precision}: {2 * side**3 / ms / 1e9:.1f} TFLOP/s")
    torch.set_float32_matmul_precision("highest")
    kinds = itertools.product(here.batches[::-1], PRECISIONS, LAYOUTS, ("network", "copy"))
    for batch, precision, layout, kind in kinds:
        if here.over():
            tell("the rest was not measured: the time is over")
            return
        what = f"batch {batch}, {precision}, {layout}, {kind}"
        dtype = getattr(torch, precision) if precision.startswith(("float16", "b")) else None
        with told(what), _computing(precision):
            model, images = here.resnet(), here.images(batch)
            target = rr.representation(model, images.flip(0)).to(here.device)
            network = model.model
            if kind == "copy":
                made = fast.FastCopy(network, model.normalizer(images[:1]))
                if dtype is not None:
                    made.reduce(dtype)
                network = made.network
            network = network.to(memory_format=LAYOUTS[layout])
            x = images.to(memory_format=LAYOUTS[layout])
            if here.is_card:
                torch.cuda.reset_peak_memory_stats()
            step = _step(model, network, x, target, dtype)
            host, whole = here.milliseconds(step, here.steps)
            peak = torch.cuda.max_memory_allocated() >> 20 if here.is_card else 0
            tell(f"{what}: {whole:.3f} ms a step, host {host:.3f} ms, peak {peak} MiB")
            with told(f"{what}, graph"):
                _, graphed = here.milliseconds(_captured(step, here), here.steps)
                tell(f"{what}, graph: {graphed:.3f} ms a step")
        if kind == "network" and layout == "contiguous" and precision in ("float32", "tf32"):
            with told(f"{what}, upstream"):
                upstream(here, batch, precision)


def upstream(here: Machine, batch: int, precision: str) -> None:
    """`robustness`' own attacker, which makes two forward passes a step."""
    from upstream_attacker import upstream_attacker, without_cuda

    model, images = here.resnet(), here.images(batch)
    target = torch.zeros(batch, dtype=torch.long, device=here.device)
    own = upstream_attacker().Attacker(model.model, _dataset()).to(here.device).eval()
    how = {"constraint": "2", "eps": 3.0, "step_size": 0.1, "iterations": here.steps}
    with _computing(precision), without_cuda():
        _, ms = here.milliseconds(lambda: own(images, target, **how), 1)
        tell(f"batch {batch}, {precision}, upstream's attack: {ms / here.steps:.3f} ms a step")
        _, ms = here.milliseconds(lambda: model(images, target, make_adv=True, **how), 1)
        tell(f"batch {batch}, {precision}, our attack: {ms / here.steps:.3f} ms a step")


def _dataset() -> Any:
    mean, std = (torch.tensor(one) for one in HALF)
    return argparse.Namespace(mean=mean, std=std)


def waits(here: Machine) -> None:
    """Where the host waits in a run, by torch's own count."""
    model = rr.load_model("critters-robust", device=here.device)
    images = torch.rand(4, 3, 64, 64, device=here.device)
    runs: dict[str, Callable[[], object]] = {
        "invert": lambda: rr.invert(model, images, iterations=3 * here.steps),
        "invert by lbfgs": lambda: rr.invert(
            model, images, iterations=3 * here.steps, schedule="lbfgs"
        ),
        "visualize by Fourier": lambda: rr.visualize(
            model,
            coordinates=[0],
            seeds=images,
            iterations=3 * here.steps,
            parameterization="fourier",
        ),
    }
    for name, run in runs.items():
        with told(name), warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            run()
            if here.is_card:
                torch.cuda.set_sync_debug_mode("warn")
            try:
                run()
            finally:
                if here.is_card:
                    torch.cuda.set_sync_debug_mode("default")
            lines = Counter(f"{Path(one.filename).name}:{one.lineno}" for one in said)
            tell(f"{name}: {dict(lines)}")


def float16(here: Machine) -> None:
    """Gradients that are zero in float16 at three times the logits, without and with a scale."""
    from robust_reps_ext.datasets import critters

    n = 64 if here.is_card else 1
    images = (critters.draw(n, seed=1).images / 255).to(here.device)
    model = rr.load_model("critters-standard", device=here.device)
    with torch.no_grad():
        labels = model(images)[0].argmax(1)
    leaf = images.clone().requires_grad_(True)
    for scaled in (False, True):
        with torch.autocast(here.device.type, torch.float16):
            logits = 3 * model.model(model.normalizer(leaf)).float()
            losses = nn.functional.cross_entropy(logits, labels, reduction="none")
        scale = pgd._scale(losses, logits) if scaled else torch.ones_like(losses)
        (gradient,) = torch.autograd.grad(losses, leaf, grad_outputs=scale)
        zeros = int((gradient.flatten(1) == 0).all(1).sum())
        tell(f"scale {scaled}: {zeros} of {n} gradients are zero")
    tell(f"mixed precision here is {amp_dtype(here.device)}")


class _Killed(Exception):
    pass


def bits(here: Machine) -> None:
    """The same run twice, without and with a snapshot, and one that was killed."""
    model = rr.load_model("critters-robust", device=here.device)
    images = torch.rand(8, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    target = rr.representation(model, images.flip(0))
    n = 200 if here.is_card else 8

    def run(snapshot: Any = None, progress: Any = False) -> Tensor:
        settings = Settings(100.0, 0.3, n, snapshot=snapshot, snapshot_interval=0.0)
        matching = rr.RepresentationMatching()
        made = rr.synthesize(model, matching, target, images, settings, progress=progress)
        return made.images

    def killed(done: int, _total: int, _mean: float) -> None:
        if done > n // 2:
            raise _Killed

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "kept")
        one, other = run(), run()
        tell(f"twice: same bits {torch.equal(one, other)}, off by {(one - other).abs().max():.3g}")
        whole, again = run(path), run(path)
        tell(f"twice, deterministic: same bits {torch.equal(whole, again)}")
        try:
            run(path, killed)
        except _Killed:
            tell(f"killed: same bits {torch.equal(run(path), whole)}")


def memory(here: Machine) -> None:
    """What is said where memory runs out, and that a run goes on with fewer images."""
    model = here.resnet()
    if here.is_card:
        torch.cuda.set_per_process_memory_fraction(0.02)
    n = 512 if here.is_card else 2
    with warnings.catch_warnings(record=True) as said, told("invert"):
        warnings.simplefilter("always")
        found = rr.invert(model, here.images(n), iterations=2, batch_size=n)
        tell(f"{n} images at a time became {found.settings['batch_size']}")
    for one in said:
        tell(one.message)


def training(here: Machine) -> None:
    """Seconds a step of adversarial training."""
    from robustness import train

    small = {"critters": (rr.load_model("critters-robust").model, 64)}
    networks = {**small, "ResNet-50": (random_resnet50(), 224)} if here.is_card else small
    batch, n = (64, 8) if here.is_card else (2, 2)
    for (name, (network, side)), attack_steps, mixed in itertools.product(
        networks.items(), (3, 7) if here.is_card else (1,), (0, 1)
    ):
        what = f"{name}, attack {attack_steps}, mixed precision {mixed}"
        if here.over():
            tell("the rest was not measured: the time is over")
            return
        with told(what), tempfile.TemporaryDirectory() as folder:
            data = torch.rand(batch * n, 3, side, side), torch.randint(9, (batch * n,))
            loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*data), batch)
            options: dict[str, Any] = dict.fromkeys(("use_best", "random_restarts", "momentum"), 0)
            options |= {"epochs": 2, "lr": 0.01, "weight_decay": 0, "adv_train": 1, "log_iters": 9}
            options |= {"constraint": "2", "eps": 0.5, "attack_lr": 0.1, "out_dir": folder}
            options |= {"attack_steps": attack_steps, "mixed_precision": mixed}
            args = argparse.Namespace(**options)
            model = AttackerModel(network, _dataset()).to(here.device)
            before = time.perf_counter()
            train.train_model(args, model, (loader, loader))
            here.wait()
            tell(f"{what}: {(time.perf_counter() - before) / 2 / n:.4f} s a step of {batch}")


BLOCKS = {
    one.__name__: one for one in (smoke, copies, steps, waits, float16, bits, memory, training)
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("block", choices=BLOCKS)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--seconds", type=float, default=120.0)
    given = parser.parse_args()
    name = torch.cuda.get_device_name() if given.device.startswith("cuda") else "no card: rehearsed"
    tell(f"{given.block} on {name}; {machine()}")
    BLOCKS[given.block](Machine(given.device, given.seconds))
    tell("done")


if __name__ == "__main__":
    main()
