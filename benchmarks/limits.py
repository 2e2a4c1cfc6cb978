"""What a sweep does beside its steps, an image: ``OMP_NUM_THREADS=1 python benchmarks/limits.py``.

One core decodes JPEGs of ImageNet's usual size and cuts them to 224 pixels, keeps inversions of
that size in a folder of results, and writes such images to shards of a robust data set. The images
are photographs of scikit-image's.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

import torch
import torchvision
from PIL import Image
from robustness.data_augmentation import TEST_TRANSFORMS_IMAGENET
from timing import in_turns, machine

import robust_reps_ext as rr
from robust_reps_ext.datasets.photographs import photographs
from robust_reps_ext.datasets.shards import Sample, write_shard
from robust_reps_ext.results.store import ExperimentStore
from robust_reps_ext.runtime.image_files import pil_loader

N = 32  # images at once


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    large = (photographs(8, size=500).repeat(N // 8, 1, 1, 1) * 255).byte()[:, :, :375]
    small = photographs(8, size=224).repeat(N // 8, 1, 1, 1)
    small = (small + torch.randn(small.shape) / 20).clamp(0, 1)
    network = torchvision.models.resnet18(num_classes=9).eval()
    model = rr.load_model(network, normalize=((0.5,) * 3, (0.25,) * 3))
    found = rr.invert(model, small, iterations=1, batch_size=N, progress=False)
    samples = [
        Sample(f"{i:08d}", image, 0, {"source": i})
        for i, image in enumerate((small * 255).byte().permute(0, 2, 3, 1).numpy())
    ]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for i, image in enumerate(large.permute(0, 2, 3, 1).numpy()):
            Image.fromarray(image).save(folder / f"{i}.jpg", quality=95)
        numbers = iter(range(given.rounds + 1))

        def decode() -> None:
            for i in range(N):
                TEST_TRANSFORMS_IMAGENET(pil_loader(folder / f"{i}.jpg"))

        def keep() -> None:
            settings = {"iterations": 1, "n": N}
            place = folder / f"results-{next(numbers)}"
            with ExperimentStore.resume(place, experiment="sweep", settings=settings) as store:
                with store.parts("inversion", N, N) as parts:
                    for part in parts:
                        store.add(part, found)

        def shard() -> None:
            write_shard(folder / "shard.tar", samples)

        sides = {"a JPEG of 500 x 375, decoded and cut": decode,
                 "an inversion, kept in a folder of results": keep,
                 "an image, written to a shard": shard}  # fmt: skip
        times = in_turns(sides, given.rounds)
        print(f"{machine()}; 224 pixels, {N} at once, {given.rounds} rounds")
        for what, seconds in times.items():
            each = sorted(1000 * second / N for second in seconds)
            print(
                f"{what}: {statistics.median(each):.1f} ms ({each[0]:.1f} to {each[-1]:.1f}), "
                f"{1000 / statistics.median(each):.0f} a second"
            )
        kept = sum(file.stat().st_size for file in (folder / "results-0").rglob("*"))
        print(
            f"bytes an image: {kept / N / 1e3:.0f} kB of results, "
            f"{(folder / 'shard.tar').stat().st_size / N / 1e3:.0f} kB in a shard"
        )


if __name__ == "__main__":
    main()
