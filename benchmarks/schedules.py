"""What each schedule reaches, and when: from this the default and its number of steps are chosen.

    python benchmarks/schedules.py --network critters-robust --dataset critters_fine
    python benchmarks/schedules.py --network CHECKPOINT --dataset tiny_imagenet --data DIR
    python benchmarks/schedules.py --network resnet50 --images DIR --n 1 --only lbfgs:50,paper:64

Inversions from noise, in float32, of the same images from the same noise for every row.
`--network` is a bundled model or a file; one of torchvision's names with `--images` is that
network with random weights (seed 0), at 224 pixels. `--upstream 1000` makes so many steps of
`robustness`' own attacker first. Seconds are this process' own on a processor, which a busy
machine tells, too.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import torch
from robustness.attacker import AttackerModel
from timing import machine
from upstream_attacker import upstream_attacker, without_cuda

import robust_reps_ext as rr
from robust_reps_ext.datasets.samples import open_data_set, validation_samples
from robust_reps_ext.synthesis import noise
from robust_reps_ext.synthesis.settings import at_size

RUNS: tuple[tuple[str, int], ...] = (
    *(("paper", steps) for steps in (100, 300, 1000)),
    *(("cosine-momentum", steps) for steps in (50, 100, 200)),
    *(("lbfgs", steps) for steps in (30, 50, 100, 200)),
)
SIZE = 224
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def main() -> None:
    """A line for each schedule and number of steps."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--network", required=True, help="bundled model, file, or torchvision name")
    parser.add_argument("--dataset", help="whose validation images are inverted")
    parser.add_argument("--data", help="folder of the data set")
    parser.add_argument("--images", type=Path, help="folder of image files, at 224 pixels")
    parser.add_argument("--n", type=int, default=8, help="images")
    parser.add_argument("--only", help="some of the runs, such as lbfgs:50,paper:100")
    parser.add_argument("--precision", default="float32", help="float32, bfloat16 or auto")
    parser.add_argument("--upstream", type=int, metavar="STEPS", help="of robustness' own attacker")
    given = parser.parse_args()
    network, images = opened(given)
    named = Path(given.network).parent.name or given.network
    print(f"{machine()}; {given.n} images of {images.shape[-1]} pixels\n")
    print("| network | schedule | steps | mean distance | furthest | pixels at 0 or 1 | seconds |")
    print("|---|---|---|---|---|---|---|")
    if given.upstream:
        begun = time.process_time()
        found = upstream(network, images, given.upstream)
        row(named, "robustness", given.upstream, found, distances(network, found, images), begun)
    chosen = [one.split(":") for one in given.only.split(",")] if given.only else RUNS
    for schedule, steps in ((name, int(count)) for name, count in chosen):
        begun = time.process_time()
        made = rr.invert(
            network, images, schedule=schedule, iterations=steps, precision=given.precision
        )
        row(named, schedule, steps, made.images, made.objective, begun)


def row(
    network: str,
    schedule: str,
    steps: int,
    found: torch.Tensor,
    distance: torch.Tensor,
    begun: float,
) -> None:
    """A line of the table, of what has taken until now."""
    seconds = time.process_time() - begun
    ends = ((found <= 0) | (found >= 1)).float().mean()
    print(
        f"| {network} | `{schedule}` | {steps} | {distance.mean():.3f} | {distance.max():.3f} | "
        f"{100 * ends:.1f}% | {seconds:.1f} |",
        flush=True,
    )


def upstream(model: AttackerModel, images: torch.Tensor, steps: int) -> torch.Tensor:
    """What `robustness`' own attacker finds from the same noise by steps of constant length."""
    statistics = argparse.Namespace(
        mean=model.normalizer.new_mean.flatten(), std=model.normalizer.new_std.flatten()
    )
    theirs = upstream_attacker().AttackerModel(model.model, statistics).eval()
    with without_cuda():
        found: torch.Tensor = theirs.attacker(
            noise(images), rr.representation(model, images), constraint="2", iterations=steps,
            eps=at_size(1000.0, images), step_size=at_size(1.0, images), targeted=True,
            use_best=False, custom_loss=rr.RepresentationMatching(),
        )  # fmt: skip
    return found


def distances(model: AttackerModel, found: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    """Of representations, relative to those of the images."""
    reached, wanted = (rr.representation(model, some) for some in (found, images))
    return (reached - wanted).norm(dim=1) / wanted.norm(dim=1)


def opened(given: Any) -> tuple[Any, torch.Tensor]:
    """The network, and the images."""
    if given.images:
        import torchvision

        torch.manual_seed(0)
        network = torchvision.models.get_model(given.network)
        paths = sorted(path for path in given.images.rglob("*") if path.is_file())[: given.n]
        model = rr.load_model(network, normalize=IMAGENET)
        return model, rr.load_images(paths, size=SIZE)
    data_set = open_data_set(given.dataset, given.data)
    model = rr.load_model(given.network, dataset=data_set)
    return model, validation_samples(data_set, given.n).images


if __name__ == "__main__":
    main()
