"""Where the names of other projects are described, also without a network."""

from __future__ import annotations

import tempfile
import zlib
from pathlib import Path


def inventories(folder: Path) -> dict[str, tuple[str, tuple[str | None, str]]]:
    """Sphinx's `intersphinx_mapping`: the project's own inventory, or else the names listed here.

    Each file `<project>.txt` of `folder` has the project's address in its first line, and then a
    line for each name that our signatures use: its kind, itself, and its page.
    """
    made = Path(tempfile.mkdtemp(prefix="inventories"))
    mapping = {}
    for path in sorted(folder.glob("*.txt")):
        address, *lines = path.read_text("utf-8").splitlines()
        entries = (line.split() for line in lines if line)
        rows = "".join(f"{name} py:{kind} 1 {page}#$ -\n" for kind, name, page in entries)
        head = f"# Sphinx inventory version 2\n# Project: {path.stem}\n# Version: \n"
        head += "# The remainder of this file is compressed using zlib.\n"
        inventory = made / f"{path.stem}.inv"
        inventory.write_bytes(head.encode() + zlib.compress(rows.encode()))
        mapping[path.stem] = (address, (None, str(inventory)))
    return mapping
