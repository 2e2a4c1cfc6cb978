"""The command `explore`: a page in the browser on which images descend while one watches."""

from __future__ import annotations

import signal
import webbrowser
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from ..runtime.errors import InputError
from ..runtime.signals import Interrupted
from .common import Experiment
from .options import RUN, composed, option

if TYPE_CHECKING:
    from ..explore.pictures import Gallery
    from ..explore.wanted import Network

__all__ = ["explore"]

PAIR = ["photographs-robust", "photographs-standard"]
MOST_IMAGES = 1000
LEFT_OUT = (
    *("layer", "eps", "step_size", "iterations", "schedule", "paper", "batch_size", "precision"),
    *("constraint", "mask", "save_interval", "overwrite", "figure_format", "width", "dpi"),
)


@dataclass(frozen=True, kw_only=True)
class Exploration(Experiment):
    """Networks, and images to begin with; photographs that are installed do without a data set."""

    @property
    def needs_data(self) -> bool:
        """Whether there is nothing to see without images of a data set."""
        return False


@composed(
    defaults={"model": PAIR, "out": Path("explored"), "n": 24},
    without=LEFT_OUT,
)
def explore(
    common: Exploration,
    *,
    port: Annotated[
        int,
        option("Of the loopback address; default: any that is free.", "N", RUN),
    ] = 0,
    no_open: Annotated[
        bool, option("Print the page's address, and open no browser.", None, RUN)
    ] = False,
) -> None:
    """Serve a page on this machine alone, where one watches images descend.

    Choose an image or drop one, networks and an objective; hold, go on, and keep what is found in
    --out. The images to begin with are --images, those of --dataset, or installed photographs.
    Needs pip install 'robust-reps-ext[explore]'. Ctrl-C ends it.

    \b
    robust-reps explore
    robust-reps explore --model checkpoint.pt.best --model photographs-robust \\
      --images holiday/*.jpg --out kept
    """
    import torch

    try:
        from ..explore.server import HOST, Explorer, Server, listening
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in ("anyio", "h11", "starlette", "uvicorn"):
            raise
        raise InputError(
            f"explore needs {missing}, which is not installed: "
            "pip install 'robust-reps-ext[explore]'"
        ) from None
    from ..models.inputs import reading_of

    with listening(port) as socket:
        each = [*common.each()]
        networks = [_network(one) for one in each]
        # Two networks work at a time, each on its share of the processor.
        torch.set_num_threads(max(1, torch.get_num_threads() // min(2, len(networks))))
        explorer = Explorer(
            networks,
            _gallery(each),
            f"{HOST}:{socket.getsockname()[1]}",
            out=common.out,
            words=_words(common),
            channels=common.channels,
            fit=common.fit.value if common.fit else reading_of(each[0].network).fit,
        )
        print(explorer.address, flush=True)
        if not no_open:
            webbrowser.open(explorer.address)
        try:
            Server(explorer).run(sockets=[socket])
        except KeyboardInterrupt as end:
            if isinstance(end, Interrupted) and end.number != signal.SIGINT:
                raise
        finally:
            explorer.close()


def _network(one: Exploration) -> Network:
    """A network as the page shows it."""
    import torch

    from ..explore.wanted import Network
    from ..models.inputs import channels_of
    from ..models.representation import representation
    from ..models.stages import stages

    model, side = one.network, one.side
    channels = channels_of(model) or 3
    image = torch.full((1, channels, side, side), 0.5)
    try:
        layers = stages(model, image)
    except InputError:  # one whose stages cannot be told has its penultimate layer
        layers = []
    return Network(
        name=one.short_name,
        source=one.model[0],
        model=model,
        shape=(channels, side),
        classes=tuple(one.class_names) or tuple(map(str, range(model.card.get("classes") or 0))),
        layers=tuple(layers),
        size=representation(model, image).shape[1],
        loading=_loading(one),
    )


def _loading(one: Exploration) -> dict[str, Any]:
    """The keywords of `load_model` that it was loaded with, in plain words."""
    normalizer = one.network.normalizer
    own = [each.flatten().tolist() for each in (normalizer.new_mean, normalizer.new_std)]
    told = {
        "arch": one.arch,
        "dataset": one.dataset if one.dataset and one.data is None else None,
        "normalize": tuple(own) if one.data is not None or one.mean else None,
        "trust": one.trust_checkpoint or None,
        "device": one.device,
    }
    return {name: value for name, value in told.items() if value is not None}


def _gallery(each: list[Exploration]) -> Gallery:
    """The images to begin with, in the size of each network."""
    from ..datasets.photographs import available, photographs
    from ..explore.pictures import Gallery, Picture

    first = each[0]
    names: tuple[str, ...]
    if first.images:
        if len(first.paths) > MOST_IMAGES:
            raise InputError(
                f"--images: {len(first.paths)} are too many to choose from, give {MOST_IMAGES} "
                "at most"
            )
        samples = [one.own for one in each]
        images, names, origin = [one.images for one in samples], samples[0].names, "--images"
    elif first.dataset:
        samples = [one.samples() for one in each]
        images, names, origin = [one.images for one in samples], samples[0].names, first.dataset
    else:
        names, origin = available(), "installed photographs"
        images = [photographs(len(names), size=one.side) for one in each]
    shapes = [(one.shape[1], one.shape[-1]) for one in images]
    pictures = [
        Picture(
            name, {shape: some[i : i + 1] for shape, some in zip(shapes, images, strict=True)}, i
        )
        for i, name in enumerate(names)
    ]
    return Gallery(pictures, origin)


def _words(common: Exploration) -> list[str]:
    """What a command is told of the networks beside their names."""
    given = {
        "--arch": common.arch,
        "--device": common.device,
        "--dataset": common.dataset or None,
        "--data": common.data,
        "--size": common.size,
        "--mean": common.mean,
        "--std": common.std,
    }
    found = [
        str(word) for flag, value in given.items() if value is not None for word in (flag, value)
    ]
    return [*found, *(["--trust-checkpoint"] if common.trust_checkpoint else [])]
