"""Mends `robustness.attacker`: the attack, and the model that carries it."""

from __future__ import annotations

from types import ModuleType

from ..attack.attacker import attack, respond
from ..mend import Mend, bind, mentions

__all__ = ["MENDS"]

_STEPS = {
    "inf": "LinfStep",
    "2": "L2Step",
    "unconstrained": "UnconstrainedStep",
    "fourier": "FourierStep",
    "random_smooth": "RandomStep",
}


def _fill_steps(module: ModuleType) -> None:
    module.STEPS.update({key: getattr(module.attack_steps, name) for key, name in _STEPS.items()})


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
        present=lambda module: module.STEPS["2"] is not module.attack_steps.L2Step,
        apply=_fill_steps,
    ),
)
