"""What is installed, on what it runs, what of upstream was mended, and what is missing."""

from __future__ import annotations

import importlib
import importlib.util
import os
import platform
import shutil
import site
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from ..runtime.environment import cache_folder, disabled
from ..upstream import cuda_noop, hook, known, mend, startup

__all__ = ["Examination", "Missing", "Remedy", "examine"]

DISTRIBUTIONS = (
    "robust-reps-ext",
    "robustness",
    "cox",
    "torch",
    "torchvision",
    "numpy",
    "pandas",
    "tables",
    "dill",
    "tensorboardX",
    "safetensors",
)
NOT_INSTALLED = "not installed"
LEFT_ALONE = "left alone"
START_UP_FILE = "robust_reps_ext.pth"


@dataclass(frozen=True)
class Remedy:
    """One mend, where it acts and why, and what became of it (see `mend.Outcome`)."""

    module: str
    name: str
    where: str
    why: str
    status: str

    @property
    def failed(self) -> bool:
        """Whether the defect may still be there."""
        return self.status not in (mend.APPLIED, mend.NOT_NEEDED) and not self.left_alone

    @property
    def left_alone(self) -> bool:
        """Whether the module is not the one that the mend is for."""
        return self.status == LEFT_ALONE


@dataclass(frozen=True)
class Missing:
    """Something that is not there, and what it takes away or how to get it."""

    what: str
    consequence: str


@dataclass(frozen=True)
class Examination:
    """What `examine` found.

    Attributes
    ----------
    versions, device, hook
        Name to value, all texts.
    mends
        One `Remedy` for each mend of each upstream module.
    missing
        What is not there; none of it stops the extension from working.
    """

    versions: dict[str, str]
    device: dict[str, str]
    hook: dict[str, str]
    mends: tuple[Remedy, ...]
    missing: tuple[Missing, ...]

    @property
    def healthy(self) -> bool:
        """Whether every mend was applied or not needed."""
        return not any(remedy.failed for remedy in self.mends)


def examine() -> Examination:
    """Import all of upstream that is mended, and tell how this installation is.

    Examples
    --------
    >>> from robust_reps_ext.cli.doctor import examine
    >>> examine().healthy
    True
    """
    remedies = () if disabled() else _remedies()
    return Examination(
        versions=_versions(),
        device=_device(),
        hook=_hook_state(),
        mends=remedies,
        missing=_missing(),
    )


def _versions() -> dict[str, str]:
    versions = {"Python": f"{platform.python_version()} ({platform.platform(terse=True)})"}
    for name in DISTRIBUTIONS:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = NOT_INSTALLED
    return versions


def _device() -> dict[str, str]:
    import torch

    cuda = torch.cuda.is_available()
    facts = {"device": "CPU, no CUDA"}
    if cuda:
        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        facts["device"] = f"CUDA {torch.version.cuda}: {', '.join(names)}"
    facts["threads"] = f"{torch.get_num_threads()} of {os.cpu_count()} processors"
    facts["bfloat16"] = _bfloat16()
    return facts


def _bfloat16() -> str:
    import torch

    from ..runtime.precision import bfloat16_units

    if torch.cuda.is_available():
        return "supported" if torch.cuda.is_bf16_supported() else "not supported"
    fast = bfloat16_units()
    return f"in hardware ({', '.join(fast)})" if fast else "emulated, slower than float32"


def _hook_state() -> dict[str, str]:
    if disabled():
        state = "switched off by ROBUST_REPS_EXT_DISABLE"
    elif hook.installed() or startup.armed():
        state = "on"
    else:
        state = "not installed"
    noop = "on: .cuda() does nothing" if cuda_noop.active() else "off"
    if cuda_noop.wanted() and not cuda_noop.active():
        noop = "asked for, without effect: there is CUDA, or robustness is not imported"
    return {
        "mends": state,
        "armed by": "import robust_reps_ext only"
        if _start_up_file() is None
        else "start of Python",
        "start-up file": str(_start_up_file() or "none"),
        cuda_noop.VARIABLE: noop,
    }


def _start_up_file() -> Path | None:
    if sys.flags.no_site:
        return None
    places = site.getsitepackages()
    if site.ENABLE_USER_SITE:
        places.append(site.getusersitepackages())
    files = (Path(place, START_UP_FILE) for place in places)
    return next((file for file in files if file.is_file()), None)


def _remedies() -> tuple[Remedy, ...]:
    broken = []
    for name in mend.MENDED:
        try:
            importlib.import_module(name)
        except Exception as error:
            status = f"failed: {error!r}"
            broken.append(Remedy(name, "(import)", "", "the module cannot be imported", status))
    tried = (
        Remedy(one.module, one.mend.name, one.mend.where, one.mend.why, one.status)
        for one in mend.outcomes()
    )
    left = (
        Remedy(
            name,
            "(all mends)",
            str(getattr(sys.modules.get(name), "__file__", "")),
            why,
            LEFT_ALONE,
        )
        for package in ("cox", "robustness")
        for name, why in known.left_alone(package).items()
    )
    return (*broken, *left, *tried)


def _missing() -> tuple[Missing, ...]:
    import torch

    cache = cache_folder()
    present = {
        Missing("CUDA", "large networks train and invert slowly"): torch.cuda.is_available(),
        Missing(
            START_UP_FILE,
            "python -m robustness.main runs unmended: pip install robust-reps-ext",
        ): _start_up_file() is not None,
        Missing("git", "training records robustness' version instead of a commit"): _program("git"),
        Missing("tensorboard", "cox-tensorboard has nothing to start: pip install tensorboard"): (
            _program("tensorboard")
        ),
        Missing("ipywidgets", "NOTEBOOK_MODE=1 shows plain bars: pip install ipywidgets"): (
            importlib.util.find_spec("ipywidgets") is not None
        ),
        Missing(f"write permission in {cache}", "critters need --data DIR"): _writable(cache),
    }
    return tuple(missing for missing, there in present.items() if not there)


def _program(name: str) -> bool:
    return shutil.which(name) is not None


def _writable(folder: Path) -> bool:
    """Whether the folder could be made, where it does not exist, and written."""
    nearest = next(place for place in (folder, *folder.parents) if place.exists())
    return nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK)
