"""How much the scorecard makes of everything."""

from __future__ import annotations

from dataclasses import dataclass

from ...runtime.errors import InputError

__all__ = ["QUICK", "Amounts"]


@dataclass(frozen=True)
class Amounts:
    """How many images and steps each seed takes.

    Attributes
    ----------
    images, gallery
        Targets of the inversions, and all images among which a target must be found.
    pairs, steps
        Pairs of Fig. 4 and of the interpolations; steps of lambda.
    coordinates, starts
        Coordinates of R(x), and what their visualisations start from: noise, and images.
    additions
        Images that get a coordinate each.
    iterations, addition_iterations
        PGD steps, whose length falls as a cosine: of all but the additions, and of those.
    step_size, addition_step
        First length of the steps of inversions and interpolations, and of additions, at 64
        pixels. As long as `schedule="cosine-momentum"` goes by itself they come no nearer, and
        fill images with saturated noise on the way.
    radii
        Of Fig. 4 beside the radius trained against, at 224 pixels.
    precision
        What the networks compute with while they are attacked, see `Options`.
    """

    images: int = 18
    gallery: int = 64
    pairs: int = 8
    steps: int = 4
    coordinates: int = 8
    starts: int = 4
    additions: int = 16
    iterations: int = 100
    addition_iterations: int = 300
    step_size: float = 3.0
    addition_step: float = 0.3
    radii: tuple[float, ...] = (16.0, 32.0, 64.0, 128.0)
    precision: str = "auto"

    @property
    def needed(self) -> int:
        """How many validation images a seed takes."""
        return max(self.gallery, 2 * self.images, 2 * self.pairs, self.additions, self.starts - 1)

    def check(self, there: int) -> None:
        """Raise `InputError` where an amount is too small, or more than `there` are needed."""
        least = {"images": 1, "pairs": 1, "steps": 2, "coordinates": 2, "starts": 2, "additions": 1}
        for name, value in least.items():
            if getattr(self, name) < value:
                raise InputError(f"{name}={getattr(self, name)}: give {value} or more")
        if self.gallery < max(2, self.images):
            raise InputError(
                f"gallery={self.gallery}: it holds the {self.images} targets and others, give more"
            )
        if not self.radii or self.radii[0] <= 0 or sorted(set(self.radii)) != list(self.radii):
            raise InputError(f"radii={self.radii}: give one or more, above 0 and ascending")
        if self.needed > there:
            most = "gallery" if self.gallery == self.needed else "images, pairs or additions"
            raise InputError(
                f"a seed takes {self.needed} validation images, there are {there}: give a smaller "
                f"{most}"
            )


QUICK = Amounts(
    images=8, gallery=32, pairs=3, steps=4, additions=6, starts=3,
    iterations=60, addition_iterations=200,
)  # fmt: skip
"""For a look in a minute."""
