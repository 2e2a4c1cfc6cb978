"""Mends `robustness.attacker`: the attack, and the model that carries it."""

from __future__ import annotations

from types import ModuleType

from ..attack.attacker import attack, respond
from ..mend import Mend, bind, mentions

__all__ = ["MENDS"]


def _steps(module: ModuleType) -> dict[str, type]:
    sets = module.attack_steps
    return {
        "inf": sets.LinfStep,
        "2": sets.L2Step,
        "unconstrained": sets.UnconstrainedStep,
        "fourier": sets.FourierStep,
        "random_smooth": sets.RandomStep,
    }


MENDS: tuple[Mend, ...] = (
    Mend(
        name="Attacker",
        where="attacker.py:139",
        why="It needed CUDA, ran the network twice a step with a custom loss, returned the last "
        "restart instead of the worst, and failed under no_grad.",
        present=mentions("Attacker.forward", "cuda", "byte"),
        apply=bind("Attacker", forward=attack),
    ),
    Mend(
        name="AttackerModel",
        where="attacker.py:311",
        why="After an attack, frozen submodules came back in training mode, and an error left the "
        "model in evaluation mode; CPU images given to a CUDA model raised.",
        present=mentions("AttackerModel.forward", "prev_training"),
        apply=bind("AttackerModel", forward=respond),
    ),
    Mend(
        name="STEPS",
        where="attacker.py:41",
        why="The table of constraints was filled before the steps were mended.",
        present=lambda module: not _steps(module).items() <= module.STEPS.items(),
        apply=lambda module: module.STEPS.update(_steps(module)),
    ),
)
