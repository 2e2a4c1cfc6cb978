"""Robust representations for the `robustness` library: train, invert, interpolate, visualise.

Names are loaded when first used, so that importing the package costs next to nothing.
"""

from .upstream import startup

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from . import results as results
    from .experiments.accuracy import evaluate as evaluate
    from .experiments.activations import most_activating as most_activating
    from .experiments.addition import add_feature as add_feature
    from .experiments.constrained import invert_within as invert_within
    from .experiments.directions import directions as directions
    from .experiments.editing import inpaint as inpaint
    from .experiments.editing import translate as translate
    from .experiments.editing import upscale as upscale
    from .experiments.enhancement import enhance as enhance
    from .experiments.gaussians import ClassGaussians as ClassGaussians
    from .experiments.gaussians import fit_gaussians as fit_gaussians
    from .experiments.generation import generate as generate
    from .experiments.interpolation import interpolate as interpolate
    from .experiments.inversion import invert as invert
    from .experiments.metamers import Metamers as Metamers
    from .experiments.metamers import metamers as metamers
    from .experiments.resemblance import Resemblance as Resemblance
    from .experiments.resemblance import resemblance as resemblance
    from .experiments.robust_data import robustify as robustify
    from .experiments.scorecard import scorecard as scorecard
    from .experiments.visualization import visualize as visualize
    from .models.loading import load_model as load_model
    from .models.representation import representation as representation
    from .report.player import Player as Player
    from .report.study import write_study as write_study
    from .results.answers import read_study as read_study
    from .results.synthesis import Synthesis as Synthesis
    from .runtime.environment import __version__ as __version__
    from .runtime.errors import InputError as InputError
    from .runtime.images import load_images as load_images
    from .synthesis import synthesize as synthesize
    from .synthesis.class_objectives import ClassCrossEntropy as ClassCrossEntropy
    from .synthesis.class_objectives import ClassLogit as ClassLogit
    from .synthesis.class_objectives import Diverge as Diverge
    from .synthesis.directions import Direction as Direction
    from .synthesis.objectives import CoordinateMaximization as CoordinateMaximization
    from .synthesis.objectives import InterpolationTarget as InterpolationTarget
    from .synthesis.objectives import RepresentationMatching as RepresentationMatching
    from .synthesis.penalties import DistanceFromStart as DistanceFromStart
    from .synthesis.penalties import TotalVariation as TotalVariation
    from .synthesis.sums import Sum as Sum
    from .upstream.cuda_noop import compat_cuda as compat_cuda

_WHERE = {
    "InputError": "runtime.errors",
    "add_feature": "experiments.addition",
    "directions": "experiments.directions",
    "ClassGaussians": "experiments.gaussians",
    "enhance": "experiments.enhancement",
    "evaluate": "experiments.accuracy",
    "fit_gaussians": "experiments.gaussians",
    "generate": "experiments.generation",
    "inpaint": "experiments.editing",
    "interpolate": "experiments.interpolation",
    "invert": "experiments.inversion",
    "invert_within": "experiments.constrained",
    "Metamers": "experiments.metamers",
    "metamers": "experiments.metamers",
    "most_activating": "experiments.activations",
    "Player": "report.player",
    "Resemblance": "experiments.resemblance",
    "resemblance": "experiments.resemblance",
    "robustify": "experiments.robust_data",
    "scorecard": "experiments.scorecard",
    "visualize": "experiments.visualization",
    "load_images": "runtime.images",
    "load_model": "models.loading",
    "representation": "models.representation",
    "ClassCrossEntropy": "synthesis.class_objectives",
    "ClassLogit": "synthesis.class_objectives",
    "Direction": "synthesis.directions",
    "Diverge": "synthesis.class_objectives",
    "CoordinateMaximization": "synthesis.objectives",
    "InterpolationTarget": "synthesis.objectives",
    "RepresentationMatching": "synthesis.objectives",
    "DistanceFromStart": "synthesis.penalties",
    "Sum": "synthesis.sums",
    "TotalVariation": "synthesis.penalties",
    "Synthesis": "results.synthesis",
    "synthesize": "synthesis",
    "translate": "experiments.editing",
    "upscale": "experiments.editing",
    "read_study": "results.answers",
    "results": "results",
    "write_study": "report.study",
    "compat_cuda": "upstream.cuda_noop",
    "__version__": "runtime.environment",
}

__all__ = [*_WHERE]

# Paths of version 0.1, and where the modules stand now.
_MOVED = {
    "atomic": "runtime.files",
    "datasets.critters_images": "datasets.critters.images",
    "errors": "runtime.errors",
    "figures": "results.figures",
    "models.small": "datasets.critters.networks",
    "objectives": "synthesis.objectives",
    "place": "results.snapshot",
    "plots": "results.plots",
    "presets": "upstream.training.presets",
    "reading": "results.reader",
    "result": "results.synthesis",
    "settings": "synthesis.settings",
    "startup": "upstream.startup",
    "store": "results.store",
    "upstream.image_files": "runtime.image_files",
    "upstream.precision": "runtime.precision",
    "upstream.rank_loaders": "upstream.distributed.batches",
    "upstream.registration": "upstream.registry",
}


def __getattr__(name: str) -> "Any":
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = import_module(f"{__name__}.{_WHERE[name]}")
    if name != "results":  # the package itself, which can be called
        value = getattr(value, name)
    globals()[name] = value
    return value


def __dir__() -> "list[str]":
    inner = {name for name in globals() if name.startswith("_") and not name.startswith("__")}
    return sorted({*globals(), *__all__} - inner - {"TYPE_CHECKING", "startup"})


startup.redirect(_MOVED)
startup.arm()
