"""One command for one network or several: each in its own folder, and all in one picture."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ..results.names import as_word
from .common import Experiment, leave_to_first, tell

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..results.store import ExperimentStore, Part
    from ..results.synthesis import Synthesis

__all__ = ["Made", "Plan", "SideBySide", "side_by_side"]

One = TypeVar("One", bound=Experiment)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a command makes with one network.

    Attributes
    ----------
    whole, make, said, n, each, size
        Of `Experiment.in_parts`.
    settings
        Of the command, beside those which all have.
    """

    whole: str
    make: Callable[[Part, dict[str, Any]], tuple[Synthesis, list[dict[str, Any]]]]
    said: tuple[str, str]
    settings: Mapping[str, Any] = field(default_factory=dict)
    n: int | None = None
    each: int = 1
    size: int | None = None


@dataclass(frozen=True)
class Made(Generic[One]):
    """What was made with one network: all of it, and a row for each image."""

    common: One
    store: ExperimentStore
    run: Synthesis
    rows: list[dict[str, Any]]

    @property
    def name(self) -> str:
        """The network's."""
        return self.common.short_name


class SideBySide(Generic[One]):
    """What was made with each network, by its name, and where its pictures go.

    Pictures of one network are in the folder of its experiment, those of several beside their
    folders.
    """

    def __init__(self, made: Sequence[Made[One]], out: Path, together: str) -> None:
        self.made, self.paths = made, [one.store.path for one in made]
        self._out, self._together = out, together

    def __iter__(self) -> Iterator[Made[One]]:
        return iter(self.made)

    def runs(self, pick: Callable[[Made[One]], Synthesis]) -> dict[str, Synthesis]:
        """By name, what is chosen of each."""
        return {one.name: pick(one) for one in self.made}

    def title(self, one: Made[One]) -> str:
        """The network's name where there are several."""
        return one.name if len(self.made) > 1 else ""

    def add(self, name: str, figure: Figure) -> None:
        """Keep a picture of them all; a name may end in .pdf or .svg."""
        if len(self.made) == 1:
            store = self.made[0].store
            store.add_figure(name, figure)
            self.paths += store.printing.files(store.path, name)
            return
        printing = self.made[0].common.printing
        paths = printing.files(self._out, f"{self._together}.{name}")
        for path in paths:
            printing.write(figure, path)
        self.paths += paths

    def tell(
        self, header: Sequence[str], rows: Callable[[Made[One]], Iterator[tuple[object, ...]]]
    ) -> None:
        """Show a table, whose rows bear the network's name where there are several, and paths."""
        several = len(self.made) > 1
        tell(
            ("model", *header) if several else header,
            [(one.name, *row) if several else row for one in self.made for row in rows(one)],
            self.paths,
        )


@contextmanager
def side_by_side(
    common: One,
    experiment: str,
    plan: Callable[[One], Plan],
    *,
    words: Sequence[object] = (),
    counted: bool = True,
) -> Iterator[SideBySide[One]]:
    """Make with each network what is not finished; then, in the first process, all of it.

    Parameters
    ----------
    common, experiment
        What the command is told, and what it does.
    plan
        What is to be made with a network.
    words
        What tells this experiment from others in the names of folders, beside network and number.
    counted
        Whether the number is that of `common`.
    """
    rest = [as_word(str(word)) for word in words if word not in (None, "")]
    if common.layer is not None:
        rest.append(as_word(common.layer))
    if counted:
        rest.append(f"n{common.n}")
    if common.seed:
        rest.append(f"seed{common.seed}")
    with ExitStack() as stack:
        made = []
        for one in common.each():
            wanted = plan(one)
            name = "-".join([experiment, as_word(one.short_name), *rest])
            store = stack.enter_context(one.store(experiment, name=name, **wanted.settings))
            found, rows = one.in_parts(
                store,
                wanted.whole,
                wanted.make,
                said=_said(wanted.said, one, common),
                n=wanted.n,
                each=wanted.each,
                size=wanted.size,
            )
            made.append(Made(one, store, found, rows))
        leave_to_first()
        names = [as_word(one.name) for one in made]
        yield SideBySide(made, common.out, "-".join([experiment, *names, *rest]))


def _said(said: tuple[str, str], one: Experiment, common: Experiment) -> tuple[str, str]:
    """What goes on, and with which network where there are several."""
    what, value = said
    return (f"{what} ({one.short_name})" if len(common.model) > 1 else what), value
