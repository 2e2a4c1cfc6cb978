"""A drawn folder in the layout of Tiny ImageNet."""

from __future__ import annotations

import numpy as np
from PIL import Image

# Of the paper's animals: a cat, a dog, a frog; and a fish that is none, and no animal.
WORDS = {
    "n02124075": "Egyptian cat",
    "n04067472": "reel",
    "n02085620": "Chihuahua",
    "n01641577": "bullfrog, Rana catesbeiana",
    "n01443537": "goldfish, Carassius auratus",
}
EACH = {"train": 6, "val": 2}


def draw(folder, wnids=tuple(WORDS), *, annotated=True, size=64):
    """JPEGs whose red tells the class and whose green the image."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    (folder / "wnids.txt").write_text("".join(f"{wnid}\n" for wnid in WORDS))
    (folder / "words.txt").write_text("".join(f"{w}\t{n}\n" for w, n in sorted(WORDS.items())))
    rows = []
    for part, each in EACH.items():
        for k, wnid in enumerate(wnids):
            flat = part == "val" and annotated
            place = folder / part / ("images" if flat else f"{wnid}/images")
            place.mkdir(parents=True, exist_ok=True)
            for i in range(each):
                pixels = rng.integers(0, 60, (size, size, 3), np.uint8)
                pixels[..., 0] += np.uint8(40 * k)
                name = f"{part}_{k * each + i}.JPEG"
                Image.fromarray(pixels).save(place / name, quality=95)
                rows.append(f"{name}\t{wnid}\t0\t0\t{size - 1}\t{size - 1}\n" if flat else "")
    if annotated:
        (folder / "val" / "val_annotations.txt").write_text("".join(rows[::-1]))
    return folder
