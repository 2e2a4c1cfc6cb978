"""What a network was trained against, for whoever has its checkpoint alone."""

from __future__ import annotations

from typing import Any

__all__ = ["attack_facts"]


def attack_facts(args: Any) -> dict[str, Any]:
    """The entry ``attack`` of a checkpoint; none where training is not adversarial.

    Parameters
    ----------
    args
        As `train_model` reads them: ``constraint``, ``eps``, ``attack_lr`` and ``attack_steps``.

    Examples
    --------
    >>> from argparse import Namespace
    >>> args = Namespace(adv_train=1, constraint="2", eps=0.5, attack_lr=0.1, attack_steps=7)
    >>> attack_facts(args)
    {'attack': {'constraint': '2', 'eps': 0.5, 'step_size': 0.1, 'iterations': 7}}
    """
    if not args.adv_train or not isinstance(args.constraint, str):
        return {}
    return {
        "attack": {
            "constraint": args.constraint,
            "eps": float(args.eps),
            "step_size": float(args.attack_lr),
            "iterations": int(args.attack_steps),
        }
    }
