"""A small robust data set, and how its shards are changed."""

from __future__ import annotations

import json

FAST = {"shard_size": 5, "iterations": 3, "schedule": "cosine-momentum"}


IN_ALL = 18


NAMES = [f"shard-{k:06d}.tar" for k in range(4)]


def edit_index(folder, change):
    index = json.loads((folder / "index.json").read_text())
    change(index)
    (folder / "index.json").write_text(json.dumps(index))
