"""Mends `robustness.tools.vis_tools`: plots of images, runs and representations."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np
import torch

from ...runtime.errors import InputError
from ..mend import Mend

__all__ = ["MENDS", "filter_data", "plot_tsne", "show_image_column", "show_image_row"]


def filter_data(metadata: Any, criteria: Sequence[str], value: Sequence[Any]) -> list[str]:
    """Experiments whose metadata have the wanted values.

    Parameters
    ----------
    metadata
        A data frame with one row an experiment and a column ``exp_id``.
    criteria
        Columns to look at.
    value
        For each of them the wanted value, or a list of values of which any will do.

    Returns
    -------
    list of str
        The ``exp_id`` of each matching row.

    Raises
    ------
    InputError
        If `metadata` lacks a column.
    """
    wanted = np.ones(len(metadata), dtype=bool)
    for column, allowed in zip(criteria, value, strict=True):
        if column not in metadata:
            raise InputError(
                f"metadata has no column {column!r}: choose from {', '.join(map(str, metadata))}"
            )
        choices = allowed if isinstance(allowed, list) else [allowed]
        wanted &= metadata[column].isin(choices).to_numpy()
    ids: list[str] = metadata["exp_id"][wanted].tolist()
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
    import matplotlib.pyplot as plt
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    points = _array(x)
    if len(points) < 3:
        raise InputError(f"{len(points)} representations are too few for t-SNE: give at least 3")
    low = PCA(n_components=min(npca, *points.shape)).fit_transform(points)
    # scikit-learn asks for a perplexity below the number of points; 30 is its default.
    flat = TSNE(n_components=2, perplexity=min(30.0, (len(points) - 1) / 3)).fit_transform(low)
    _, colour = np.unique(_array(y), return_inverse=True)
    paired = plt.get_cmap("Paired")
    plt.scatter(flat[:, 0], flat[:, 1], s=markersize, c=paired(colour % paired.N), marker="o")
    _show()


def show_image_row(
    xlist: Sequence[Sequence[torch.Tensor]],
    ylist: Sequence[str] | None = None,
    fontsize: float = 12,
    size: tuple[float, float] = (2.5, 2.5),
    tlist: Sequence[Sequence[str]] | None = None,
    filename: str | None = None,
) -> None:
    """Show rows of images, and close the figure unless matplotlib is interactive.

    Parameters
    ----------
    xlist
        Rows of images, each (C, H, W) in [0, 1], on any device.
    ylist
        A label for each row.
    fontsize
        Of labels and titles, in points.
    size
        Width and height of one image in inches.
    tlist
        A title for each image, shaped as `xlist`.
    filename
        Where to save the figure too.
    """
    axes = _grid(xlist, tlist, fontsize, size)
    for ax, label in zip(axes[:, 0], ylist or (), strict=False):
        ax.set_ylabel(label, fontsize=fontsize)
    _show(filename)


def show_image_column(
    xlist: Sequence[Sequence[torch.Tensor]],
    ylist: Sequence[str] | None = None,
    fontsize: float = 12,
    size: tuple[float, float] = (2.5, 2.5),
    tlist: Sequence[Sequence[str]] | None = None,
    filename: str | None = None,
) -> None:
    """Show columns of images with `ylist` above them, otherwise as `show_image_row`."""
    titles = list(zip(*tlist, strict=True)) if tlist else None
    axes = _grid(list(zip(*xlist, strict=True)), titles, fontsize, size)
    for ax, label in zip(axes[0], ylist or (), strict=False):
        ax.set_title(label, fontsize=fontsize)
    _show(filename)


def _array(values: Any) -> Any:
    if isinstance(values, torch.Tensor):
        return values.detach().cpu().numpy()
    return np.asarray(values)


def _grid(
    rows: Sequence[Sequence[torch.Tensor]],
    titles: Sequence[Sequence[str]] | None,
    fontsize: float,
    size: tuple[float, float],
) -> Any:
    import matplotlib.pyplot as plt

    across, down = len(rows[0]), len(rows)
    figsize = (size[0] * across, size[1] * down)
    _, axes = plt.subplots(down, across, figsize=figsize, squeeze=False)
    for i, row in enumerate(rows):
        for j, image in enumerate(row):
            axes[i, j].imshow(_array(image.permute(1, 2, 0)))
            axes[i, j].set(xticks=[], yticks=[])
            if titles:
                axes[i, j].set_title(titles[i][j], fontsize=fontsize)
    return axes


def _show(filename: str | None = None) -> None:
    import matplotlib
    import matplotlib.pyplot as plt

    if filename is not None:
        plt.savefig(filename, bbox_inches="tight")
    if matplotlib.get_backend().lower() != "agg":  # which can show nothing, and warns
        plt.show()
    if not plt.isinteractive():
        plt.close()


def _fails_on_a_frame(module: ModuleType) -> bool:
    import pandas

    frame = pandas.DataFrame({"exp_id": ["a", "b"], "eps": [1, 2]})
    with warnings.catch_warnings():
        warnings.simplefilter("error", FutureWarning)  # of pandas 2, for what pandas 3 refuses
        try:
            return bool(module.filter_data(frame, ["eps"], [2]) != ["b"])
        except (TypeError, ValueError, FutureWarning):
            return True


MENDS: tuple[Mend, ...] = (
    Mend(
        name="filter_data",
        where="tools/vis_tools.py:56",
        why="A list of truth values meets a column, which current pandas refuses.",
        present=_fails_on_a_frame,
        apply=lambda module: module.__dict__.update(filter_data=filter_data),
    ),
    Mend(
        name="plot_tsne",
        where="tools/vis_tools.py:71",
        why="Labels must be 0, 1, 2, ... without gaps, and there must be over 50 points.",
        present=lambda module: "range(len(np.unique(y)))" in inspect.getsource(module.plot_tsne),
        apply=lambda module: module.__dict__.update(plot_tsne=plot_tsne),
    ),
    Mend(
        name="show_image_row",
        where="tools/vis_tools.py:17, 37",
        why="Figures stay open for ever, and images on a GPU or with a gradient fail.",
        present=lambda module: "plt.show()" in inspect.getsource(module.show_image_row),
        apply=lambda module: module.__dict__.update(
            show_image_row=show_image_row, show_image_column=show_image_column
        ),
    ),
)
