"""One pass over a data loader: a training epoch, or an evaluation."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from robustness.tools import helpers
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torchvision.utils import make_grid
from tqdm import tqdm

from ...runtime.errors import InputError
from ...runtime.modules import device_of, evaluating
from ...runtime.precision import amp_dtype
from .. import distributed, registry
from ..arguments import function_given, given, mixed, option, ours, whole_number
from ..attack.attacker import RANDOM_STARTS
from ..attack.network_copy import AttackCopy
from ..distributed.batches import Share
from ..distributed.replicas import average_statistics, bare, for_evaluation, gradients_kept
from .course import Course
from .progress import EpochProgress, Pass, over_ranks
from .schedules import eps_multiplier

__all__ = ["length", "model_loop"]

_IMAGES_SHOWN = 15


def model_loop(
    args: Any,
    loop_type: str,
    loader: Any,
    model: nn.Module,
    opt: Any,
    epoch: int,
    adv: bool,
    writer: Any,
    scaler: torch.amp.GradScaler | None = None,
    done: dict[str, Any] | None = None,
    rest: Iterable[Any] | None = None,
    after_step: Callable[[EpochProgress], None] | None = None,
    share: Callable[[int, int], Share] | None = None,
    course: Course | None = None,
) -> tuple[float, float]:
    """Train for one epoch, or evaluate.

    Parameters
    ----------
    args
        See `robustness.train.train_model`; ``eps`` and ``attack_lr`` are numbers.
    loop_type
        ``"train"`` or ``"val"``.
    loader
        Serves batches (images, labels).
    model
        The `AttackerModel`, bare or in `DataParallel`.
    opt
        The optimizer; unused in evaluation.
    epoch
        Counted from 0.
    adv
        Whether the images are attacked first.
    writer
        A tensorboardX writer, or None.
    scaler
        The gradient scale of mixed precision, or None.
    done, rest
        `EpochProgress.state` after the steps of this epoch that were made already, and the
        batches after those.
    after_step
        Called with the progress after every step of training.
    share
        What this rank has of a batch, from the number of the step and of the images at hand.
    course
        How far the run is, which says how long the epoch is, and what changes from step to step.

    Returns
    -------
    tuple
        Top-1 accuracy in percent, and mean loss without regularizer, over the images of all ranks.

    Raises
    ------
    InputError
        If the loader is empty, a training loss is not finite, or outputs and labels do not fit.
    """
    if loop_type not in ("train", "val"):
        raise ValueError(f"loop_type={loop_type!r}: give 'train' or 'val'")
    training = loop_type == "train"
    model.train(training)
    model = model if training else for_evaluation(model)
    device = device_of(model)
    attack = _attack_options(args, epoch, training, device) if adv else {}
    copy = AttackCopy(args, model, follow=training) if adv else None
    hook = function_given(args, "iteration_hook")
    smoothing = course.smoothing if course is not None else 0.0
    criterion = function_given(args, "custom_train_loss") or nn.CrossEntropyLoss(
        label_smoothing=smoothing
    )
    progress = EpochProgress(loop_type, epoch, "AdvPrec" if adv else "NatPrec")
    if done:
        progress.take_up(done)
    first, scaler = progress.steps, scaler or torch.amp.GradScaler(device.type, enabled=False)
    parts = 1
    if training and given(args, "grad_accumulation"):
        read = partial(whole_number, args, "grad_accumulation", 1, at_least=1)
        parts = ours(args, "grad_accumulation", 1, read)
    quiet = not distributed.is_main()
    batches = loader if rest is None else rest
    if course is not None:
        batches = course.timed(batches, epoch, first)
    with tqdm(total=length(loader), initial=first, mininterval=0.5, disable=quiet) as bar:
        for step, (inp, target) in enumerate(batches, first):
            inp = inp.to(device, non_blocking=True)
            target = target.to(device, non_blocking=True)
            mine = share(step, len(inp)) if share else Share(len(inp), 1.0, len(inp))
            if training:
                opt.zero_grad()
            adversary = attack
            if course is not None:
                course.set_rate(opt)
                full, inp = inp, course.resized(inp)
                adversary = course.attack(attack, full, inp)
            passes: list[Pass] = []
            pieces = max(1, min(parts, mine.least))
            for some, labels in zip(
                inp.tensor_split(pieces), target.tensor_split(pieces), strict=True
            ):
                with gradients_kept(model, here=len(passes) < pieces - 1):
                    one = _forward(args, model, some, labels, adversary, copy, criterion)
                    if training:
                        loss = (one.loss + one.penalty) * (mine.weight * len(some) / len(inp))
                        scaler.scale(loss).backward()
                passes.append(one)
            if training:
                scaler.step(opt)
                scaler.update()
                average_statistics(model)
            elif adv and step == 0 and writer is not None:
                writer.add_image("Nat input", make_grid(inp[:_IMAGES_SHOWN]), epoch)
                writer.add_image("Adv input", make_grid(passes[0].final_inp[:_IMAGES_SHOWN]), epoch)
            progress.add(passes, lent=not mine.images)
            if hook is not None:
                hook(model, step, loop_type, inp, target)
            if progress.due():
                bar.set_description(progress.report(), refresh=False)
            bar.update()
            if after_step is not None:
                after_step(progress)
        progress.take_up(over_ranks(progress.state()))
        bar.set_description(progress.report())
    means = progress.means()
    if writer is not None:
        for name, value in means.items():
            writer.add_scalar(f"{'adv' if adv else 'nat'}_{loop_type}_{name}", value, epoch)
    return means["top1"], means["loss"]


def _forward(
    args: Any,
    model: nn.Module,
    inp: Tensor,
    target: Tensor,
    attack: dict[str, Any],
    copy: AttackCopy | None,
    criterion: Any,
) -> Pass:
    """Attack the images if there is a copy to do it on, and classify them."""
    regularizer = function_given(args, "regularizer")
    device = inp.device
    attacked = copy is not None
    with _precision(args, device):
        aim = {"target": target, **_aim(attack, model, inp, target)}
    if copy is not None:
        aim |= copy.options(inp, aim["target"], aim["custom_loss"])
    with _precision(args, device):
        final_inp = inp
        if attacked and isinstance(model, DistributedDataParallel):
            # The attack is the rank's own affair: only the pass that trains concerns the others.
            with evaluating(model):
                final_inp, attacked = model.module.attacker(inp, **aim), False
        output, final_inp = model(final_inp, make_adv=attacked, **aim)
        loss = criterion(output, target).mean()
    logits = output[0] if isinstance(output, tuple) else output
    accuracies = _accuracies(args, logits.detach(), target)
    penalty = 0.0
    if regularizer is not None:
        with torch.enable_grad(), _precision(args, device):
            penalty = regularizer(model, inp, target)
    return Pass(len(inp), loss, accuracies, penalty, final_inp)


def _attack_options(args: Any, epoch: int, training: bool, device: torch.device) -> dict[str, Any]:
    """What `AttackerModel` is called with to attack, but for the target."""
    multiplier = eps_multiplier(args) if training else None
    options = {
        "constraint": args.constraint,
        "eps": args.eps if multiplier is None else args.eps * multiplier(epoch),
        "step_size": args.attack_lr,
        "iterations": args.attack_steps,
        "random_start": bool(given(args, "random_start", 0)) and _random_start(args),
        "custom_loss": function_given(args, "custom_adv_loss"),
        "random_restarts": 0 if training else args.random_restarts,
        "use_best": bool(args.use_best),
    }
    name = given(args, "adv_objective")
    if isinstance(name, str):
        objective = registry.objective(name)
        options |= {"custom_loss": objective, "targeted": objective.targeted}
    if mixed(args, device):
        options["mixed_precision"] = True
    return options


def _random_start(args: Any) -> bool | str:
    word = given(args, "random_radius", "ball")
    if not isinstance(word, str) or word not in RANDOM_STARTS:
        raise InputError(
            f"random_radius={word!r} ({option('random_radius')}) is not known: choose one of "
            f"{', '.join(sorted(RANDOM_STARTS))}"
        )
    return RANDOM_STARTS[word]


def _aim(attack: dict[str, Any], model: nn.Module, inp: Tensor, target: Tensor) -> dict[str, Any]:
    """The attack's options, with the target of a registered objective."""
    objective: Any = attack.get("custom_loss")
    if not hasattr(objective, "training_target"):
        return attack
    network = bare(model)
    with evaluating(network), torch.no_grad():
        return {**attack, "target": objective.training_target(network, inp, target)}


def _accuracies(args: Any, logits: Tensor, target: Tensor) -> tuple[Any, Any]:
    """Top-1 and top-5 accuracy in percent, or what ``custom_accuracy`` calls by these names."""
    custom = function_given(args, "custom_accuracy")
    if custom is not None:
        return custom(logits, target)
    fits = target.shape == logits.shape if target.dim() > 1 else logits.dim() == 2
    if not fits or len(logits) != len(target):
        raise InputError(
            f"no accuracy for outputs of shape {tuple(logits.shape)} and labels of shape "
            f"{tuple(target.shape)}: give args.custom_accuracy, which returns two numbers"
        )
    top1, top5 = helpers.accuracy(logits, target, topk=(1, min(5, logits.shape[-1])))
    return top1[0], top5[0]


def _precision(args: Any, device: torch.device) -> torch.autocast:
    return torch.autocast(device.type, dtype=amp_dtype(device), enabled=mixed(args, device))


def length(loader: Any) -> int | None:
    """How many batches a loader has, or None if it does not know."""
    try:
        return len(loader)
    except TypeError:  # an iterable without a length, or a wrapper around one
        return None
