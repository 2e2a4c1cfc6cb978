"""Small folders in the layout of Tiny ImageNet, whose images say by their grey which they are."""

from __future__ import annotations

import shutil

from PIL import Image

# In the order of wnids.txt, which is not that of the ids: id, line of words.txt, animal.
CLASSES = {
    "n02123045": ("tabby, tabby cat", "cat"),
    "n01443537": ("goldfish, Carassius auratus", None),
    "n01641577": ("bullfrog, Rana catesbeiana", "frog"),
    "n02085620": ("Chihuahua", "dog"),
}
NAMES = ("tabby", "goldfish", "bullfrog", "Chihuahua")
N_TRAIN, N_VAL = 3, 2


def grey(split, label, i):
    """The grey of an image, which survives JPEG."""
    return 100 * (split == "val") + 20 * label + 4 * i


def save(path, value, size=(64, 64), mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, (value,) * 3 if mode == "RGB" else value).save(path, quality=95)


def grow(root):
    """The layout as it is published."""
    lines, number = [], 0
    for label, wnid in enumerate(CLASSES):
        for i in range(N_TRAIN):
            save(root / "train" / wnid / "images" / f"{wnid}_{i}.JPEG", grey("train", label, i))
        (root / "train" / wnid / f"{wnid}_boxes.txt").write_text(f"{wnid}_0.JPEG\t0\t0\t62\t62\n")
    for i in range(N_VAL):
        for label, wnid in enumerate(CLASSES):
            save(root / "val" / "images" / f"val_{number}.JPEG", grey("val", label, i))
            lines.append(f"val_{number}.JPEG\t{wnid}\t0\t0\t62\t62\n")
            number += 1
    (root / "val" / "val_annotations.txt").write_text("".join(lines))
    save(root / "test" / "images" / "test_0.JPEG", 250)
    (root / "wnids.txt").write_text("".join(f"{wnid}\n" for wnid in CLASSES))
    words = [f"{wnid}\t{words}\n" for wnid, (words, _) in sorted(CLASSES.items())]
    (root / "words.txt").write_text("n00001740\tentity\n" + "".join(words))
    return root


def sort_into_folders(root, within=""):
    """What people make of ``val/`` afterwards."""
    for line in (root / "val" / "val_annotations.txt").read_text().splitlines():
        name, wnid, *_ = line.split("\t")
        to = root / "val" / wnid / within
        to.mkdir(parents=True, exist_ok=True)
        shutil.move(root / "val" / "images" / name, to / name)
    (root / "val" / "images").rmdir()
    return root
