"""Mends `robustness.tools.vis_tools`: plots of images, runs and representations."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import numpy as np
import torch

from ...results.figures import as_colors
from ...runtime.errors import InputError
from ..mend import Mend, fails, mentions

__all__ = ["MENDS", "filter_data", "plot_tsne"]


def filter_data(metadata: Any, criteria: Sequence[str], value: Sequence[Any]) -> list[str]:
    """The ``exp_id`` of experiments whose metadata have the wanted values.

    Parameters
    ----------
    metadata
        A data frame with one row an experiment and a column ``exp_id``.
    criteria
        Columns to look at.
    value
        For each of them the wanted value, or a list of values of which any will do.

    Raises
    ------
    InputError
        If `metadata` lacks a column.
    """
    for column, allowed in zip(criteria, value, strict=True):
        if column not in metadata:
            raise InputError.also(KeyError)(
                f"metadata has no column {column!r}: choose from {', '.join(map(str, metadata))}"
            )
        choices = allowed if isinstance(allowed, list) else [allowed]
        metadata = metadata[metadata[column].isin(choices)]
    ids: list[str] = metadata["exp_id"].tolist()
    return ids


def plot_tsne(x: Any, y: Any, npca: int = 50, markersize: float = 10) -> None:
    """Scatter representations in two dimensions, coloured by label.

    Parameters
    ----------
    x
        Representations, (N, k) with N of at least 3.
    y
        Labels, (N,), of any hashable values.
    npca
        Principal components that t-SNE starts from; at most min(N, k) are used.
    markersize
        Area of a marker in square points.

    Raises
    ------
    InputError
        If there are fewer than three representations.
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    points = _array(x)
    if len(points) < 3:
        raise InputError(f"{len(points)} representations are too few for t-SNE: give at least 3")
    low = PCA(n_components=min(npca, *points.shape)).fit_transform(points)
    # scikit-learn asks for a perplexity below the number of points; 30 is its default.
    flat = TSNE(n_components=2, perplexity=min(30.0, (len(points) - 1) / 3)).fit_transform(low)
    _, colour = np.unique(_array(y), return_inverse=True)
    with _closed_when_shown() as plt:
        paired = plt.get_cmap("Paired")
        plt.scatter(flat[:, 0], flat[:, 1], s=markersize, c=paired(colour % paired.N), marker="o")
        plt.show()


def _array(values: Any) -> Any:
    return values.detach().cpu().numpy() if isinstance(values, torch.Tensor) else np.asarray(values)


def _in_colors(image: Any) -> Any:
    """(3, H, W) of an image of any number of channels: one is grey, not matplotlib's colours."""
    shown = as_colors(_array(image)[None])[0][0]
    return np.broadcast_to(shown, (*shown.shape[:2], 3)).transpose(2, 0, 1).view(_Image)


class _Image(np.ndarray[Any, Any]):
    """An array that upstream can turn around as if it were a tensor."""

    permute = np.ndarray.transpose


@contextmanager
def _closed_when_shown() -> Iterator[Any]:
    """`matplotlib.pyplot`, whose figure is closed after the block unless it is interactive."""
    import matplotlib.pyplot as plt

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*cannot be shown")  # without a screen
        try:
            yield plt
        finally:
            if not plt.isinteractive():
                plt.close()


def _show_any_images(module: ModuleType) -> None:
    def mended(upstream: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(upstream)
        def show(xlist: Sequence[Sequence[torch.Tensor]], *args: Any, **options: Any) -> None:
            images = [[_in_colors(image) for image in several] for several in xlist]
            with _closed_when_shown():
                upstream(images, *args, **options)

        return show

    for name in ("show_image_row", "show_image_column"):
        setattr(module, name, mended(getattr(module, name)))


def _fails_on_a_frame(module: ModuleType) -> bool:
    import pandas

    frame = pandas.DataFrame({"exp_id": ["a", "b"], "eps": [1, 2]})
    with warnings.catch_warnings():
        warnings.simplefilter("error", FutureWarning)  # of pandas 2, for what pandas 3 refuses
        call = functools.partial(module.filter_data, frame, ["eps"], [2])
        return fails(call, TypeError, ValueError, FutureWarning)


MENDS: tuple[Mend, ...] = (
    Mend.replacing(
        filter_data,
        "tools/vis_tools.py:56",
        "A list of truth values meets a column, which current pandas refuses.",
        _fails_on_a_frame,
    ),
    Mend.replacing(
        plot_tsne,
        "tools/vis_tools.py:71",
        "Labels must be 0, 1, 2, ... without gaps, and there must be over 50 points.",
        mentions("plot_tsne", "sns"),
    ),
    Mend(
        name="show_image_row",
        where="tools/vis_tools.py:17, 37",
        why="Figures stay open for ever; images on a GPU, with a gradient or of 2 channels fail.",
        present=mentions("show_image_row", "show"),
        apply=_show_any_images,
    ),
)
