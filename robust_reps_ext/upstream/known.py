"""Which `robustness` and `cox` the mends were written for; what is another's is left as it is.

People keep edited copies of `robustness` under its name. A mend replaces what it knows, and would
silently take away what a copy does differently. Run as a program, this prints `DIGESTS` for the
folders of packages, see CONTRIBUTING.md.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from ..runtime.errors import InputError, listed

__all__ = ["MENDED", "digests", "left_alone", "note_replaced", "reason", "require", "tell"]

# Upstream module -> our file that mends it. The order is the one in which upstream loads them.
MENDED = {
    "cox.utils": "cox_utils",
    "cox.store": "cox_store",
    "cox.readers": "cox_readers",
    "cox.tensorboard_view": "cox_tensorboard_view",
    "robustness.imagenet_models": "imagenet_models",
    "robustness.cifar_models": "cifar_models",
    "robustness.tools.helpers": "helpers",
    "robustness.tools.folder": "folder",
    "robustness.tools.vis_tools": "vis_tools",
    "robustness.attack_steps": "attack_steps",
    "robustness.attacker": "attacker",
    "robustness.loaders": "loaders",
    "robustness.datasets": "datasets",
    "robustness.defaults": "defaults",
    "robustness.train": "train",
    "robustness.model_utils": "model_utils",
    "robustness.main": "main",
}

# Modules whose mends change other files than the module's own.
PARTS = {
    "robustness.imagenet_models": (
        "alexnet",
        "densenet",
        "leaky_resnet",
        "resnet",
        "squeezenet",
        "vgg",
    ),
    "robustness.cifar_models": ("inception", "resnet"),
}

# Whose mends need those of others: what a copy has edited there, ours would not fit.
RELIES_ON = {
    "cox.store": ("cox.utils",),
    "cox.readers": ("cox.store",),
    "cox.tensorboard_view": ("cox.readers",),
    "robustness.attacker": ("robustness.attack_steps", "robustness.tools.helpers"),
    "robustness.loaders": ("robustness.tools.folder",),
    "robustness.datasets": ("robustness.loaders", "robustness.tools.helpers"),
    "robustness.train": ("robustness.attacker",),
    "robustness.model_utils": ("robustness.attacker",),
    # The command has options that each of these must heed.
    "robustness.main": (
        "cox.store",
        "robustness.datasets",
        "robustness.defaults",
        "robustness.model_utils",
        "robustness.train",
    ),
}

# SHA-256 of each mended file without empty lines and white space at the ends of lines:
# robustness 1.2.1, 1.2.1.post1, 1.2.1.post2 and the last of its repository, cox 0.2.
DIGESTS: dict[str, tuple[str, ...]] = {
    "cox/utils.py": ("6baa386aa5255e7f6f30c5c09468d43d0ece452ef06fd6a95cc1ef5f8951b907",),
    "cox/store.py": ("0092e8ee3056921653003aee26f890253a38130beb21af977e09c3070441087b",),
    "cox/readers.py": ("09ff9ee055afbeeff30108c59f43ffa604f6f484ece793a38d014aa0823ae118",),
    "cox/tensorboard_view.py": (
        "52390745c6ef88c07af44d1b21f2804ad6e0528c00635931bddc7385bfc7a0d5",
    ),
    "robustness/imagenet_models/alexnet.py": (
        "06ad36018ae6aae54fc5ed42c908df88be4116e00e77df8c59cd4d5b04dedf0a",
        "c354c560907dce1aa6aa2a4c1ffdf97e4f07466312f191d53dc15034d1216c1b",
    ),
    "robustness/imagenet_models/densenet.py": (
        "a72269df88712be6baaf6f5dfd439ed77207d538ff4ce752512b17871edf9d83",
    ),
    "robustness/imagenet_models/leaky_resnet.py": (
        "874b45669c597d9c9ea37c0054595c445ea7b6c3eebdef93a9f0dfceb6f1f0f1",
    ),
    "robustness/imagenet_models/resnet.py": (
        "b2c470997781c94d3e02d3112ba0184406c6b808de3a79d7bfe4214b448d4f71",
    ),
    "robustness/imagenet_models/squeezenet.py": (
        "2f67d156d7cc0dca7b723b8f3e39c45917c2221c3ca574bb22de60cb5d4b16b3",
        "7eb111338ef3202235e16253f22f1a6d8484fbd8e9de4bba9a5f360e9affe73b",
    ),
    "robustness/imagenet_models/vgg.py": (
        "c73606c2866aee70b0d36789511b28d9715c3eb250f6e231d2a2c3ad6c8e4e06",
        "6ef64725404d3ef72802fb5bc83a3d7ec14b744051192af28f2e8f6f38aeeccf",
    ),
    "robustness/cifar_models/inception.py": (
        "ad0421abd1e69b99a929a0d2e65aa93702197754dea7996d1ecbfd6c7beed2fc",
    ),
    "robustness/cifar_models/resnet.py": (
        "7c5f85aab7f39b031566cb840fa7cfd068ae6a0eb414c1c6bf23858d95f887b8",
        "6eed4fe68e6e4364c292dc1a4ab99f92310026cbce9f9a9774c5e17711809dd9",
    ),
    "robustness/tools/helpers.py": (
        "d015976c764a0626ace3ad1a63d836e5a0465687037d548e9d7483171e3b4dd4",
        "e57c600ca3181e5bd97ab77591947e8e93fcddb69ba4b3792b5d12009acb8899",
    ),
    "robustness/tools/folder.py": (
        "6f99dffd8a6f7b111f78dfba2faf602c50bb9241514203dca476b0daf0099970",
    ),
    "robustness/tools/vis_tools.py": (
        "2a32619e9bd7f58b36528cae285e135029f43760169d03d02e176e6dfc8283d7",
    ),
    "robustness/attack_steps.py": (
        "6d3d94aabccdc73323934ec631186fd60b2fcaca3ff4ce2d6bbec6cd8cd53133",
    ),
    "robustness/attacker.py": ("a2b30066f98cc1a529d89821208ee2b52b61b13fd124d30b215b70acb7365795",),
    "robustness/loaders.py": ("533770ea0177180c81bd7b7e65b28109ff345e56349bb39e7ab11a75a808db25",),
    "robustness/datasets.py": (
        "fbf0971ae12afa8fda7a6c93f6fbc1040dd18aa617599ac045d89207c6718611",
        "9aefe9cd42da16de3caed50a755fad7ef0ad87e87076404d45cf3827a32478f1",
    ),
    "robustness/defaults.py": ("ec8b5f3182e70afd9f65009643f585f338d35cc6a58211769827deb829244684",),
    "robustness/train.py": (
        "426ec52ad3f84734d7bf404b9454e04e9539d7edba908172e097c7043affb41b",
        "6dd728986c0a531447df21b7d6709a105f9624711ac3f7d8b7720b659e30be5b",
    ),
    "robustness/model_utils.py": (
        "f2a806b6cc2275eb9bce0f1912e09ba6c94a231468b7191b740d556e7e323e2e",
    ),
    "robustness/main.py": ("9161fa9041bce979dd4762e914bd2a217c737bcd32bd24f2717c466666be315e",),
}

_replaced: dict[str, list[str]] = {}
_told: set[str] = set()


def reason(name: str) -> str | None:
    """Why the mends of the upstream module `name` stay off, or None where they belong.

    Examples
    --------
    >>> reason("cox.utils") is None
    True
    """
    for one in (name, *_relied_on(name)):
        own = _own_reason(one)
        if own is not None:
            return own if one == name else f"it relies on {one}: {own}"
    return None


def _relied_on(name: str) -> Iterator[str]:
    for other in RELIES_ON.get(name, ()):
        yield other
        yield from _relied_on(other)


def _own_reason(name: str) -> str | None:
    if name in _replaced:
        return f"{listed(_replaced[name])} was replaced before robust_reps_ext was imported"
    package = name.partition(".")[0]
    others = [file for file in _files(name) if not _is_known(_folder(package), package, file)]
    return f"{listed(others)} is not as published" if others else None


def _files(name: str) -> list[str]:
    package, *inner = name.split(".")
    places = [(*inner, part) for part in PARTS[name]] if name in PARTS else [tuple(inner)]
    return ["/".join((package, *place)) + ".py" for place in places]


def _spec(package: str) -> ModuleSpec | None:
    module = sys.modules.get(package)
    return module.__spec__ if module else importlib.util.find_spec(package)


def _folder(package: str) -> str | None:
    spec = _spec(package)
    places = spec.submodule_search_locations if spec else None
    return os.path.dirname(next(iter(places))) if places else None


@cache
def _is_known(root: str | None, package: str, file: str) -> bool:
    spec = _spec(package)
    try:
        # The loader reads from archives, too.
        loader: Any = spec.loader if spec else None
        content = loader.get_data(os.path.join(str(root), *file.split("/")))
    except (OSError, AttributeError):
        return False
    return _digest(content) in DIGESTS[file]


def _digest(content: bytes) -> str:
    lines = (line.rstrip() for line in content.splitlines())
    return hashlib.sha256(b"\n".join(line for line in lines if line)).hexdigest()


def note_replaced(module: ModuleType) -> None:
    """Note which functions and classes of a loaded module are no longer those of its file."""
    replaced = [
        name
        for one in (module, *_parts_of(module))
        for name in _defined_in(one)
        if not _is_of(getattr(one, name, None), one)
    ]
    if replaced:
        _replaced[module.__name__] = replaced


def _parts_of(module: ModuleType) -> list[ModuleType]:
    names = (f"{module.__name__}.{part}" for part in PARTS.get(module.__name__, ()))
    return [sys.modules[name] for name in names if name in sys.modules]


def _defined_in(module: ModuleType) -> list[str]:
    source: str | None = getattr(module.__loader__, "get_source", lambda _: None)(module.__name__)
    return re.findall(r"^(?:def|class) (\w+)", source or "", re.MULTILINE)


def _is_of(value: Any, module: ModuleType) -> bool:
    if isinstance(value, type):
        functions = [one for one in vars(value).values() if isinstance(one, FunctionType)]
        return value.__module__ == module.__name__ and all(_is_of(one, module) for one in functions)
    code = getattr(value, "__code__", None)
    return code is not None and code.co_filename == module.__file__


def left_alone(package: str) -> dict[str, str]:
    """The modules of a package whose mends stay off, and why."""
    found = ((name, reason(name)) for name in MENDED if name.partition(".")[0] == package)
    return {name: why for name, why in found if why is not None}


def tell(package: str) -> None:
    """Say on stderr, once, that some of a package's modules are left as they are."""
    # Workers and the other ranks would only repeat it.
    multiprocessing: Any = sys.modules.get("multiprocessing")
    child = multiprocessing is not None and multiprocessing.parent_process() is not None
    if package in _told or child or os.environ.get("RANK", "0") != "0":
        return
    _told.add(package)
    left = left_alone(package)
    edited = {why for name, why in left.items() if not why.startswith("it relies on ")}
    print(
        f"robust_reps_ext: in {_folder(package)}, {listed(sorted(edited))}: left as they are, "
        f"without mends: {', '.join(left)} (python -m robust_reps_ext doctor says why)",
        file=sys.stderr,
    )


def require(name: str) -> None:
    """Refuse to go on where our work needs the mends of a module that is left as it is.

    Raises
    ------
    InputError
        With the reason, and the way out.
    """
    why = reason(name)
    if why is not None:
        folder = _folder(name.partition(".")[0])
        raise InputError(
            f"{name} in {folder} is left as it is ({why}), and this needs the published one: run "
            "it where that folder does not come first on sys.path"
        )


def digests(folders: Sequence[Path]) -> dict[str, tuple[str, ...]]:
    """The table for the files of packages in `folders`, such as ``site-packages/robustness``."""
    found: dict[str, list[str]] = {}
    for name in MENDED:
        for file in _files(name):
            for folder in folders:
                path = folder.parent / file
                if folder.name == file.partition("/")[0] and path.is_file():
                    one = _digest(path.read_bytes())
                    if one not in found.setdefault(file, []):
                        found[file].append(one)
    return {file: tuple(each) for file, each in found.items()}


if __name__ == "__main__":
    for file, each in digests([Path(one).resolve() for one in sys.argv[1:]]).items():
        print(f'    "{file}": (', *(f'        "{one}",' for one in each), "    ),", sep="\n")
