"""The call of PGD: what `robustness.attacker` does when an attacker or its model is called."""

from __future__ import annotations

import inspect
import math
import numbers
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ...runtime.errors import InputError
from ...runtime.gradients import differentiable
from ...runtime.masks import as_mask, check_mask
from ...runtime.modules import evaluating
from ...runtime.precision import amp_dtype
from .pgd import PGD, Callback, OnNonFinite, StopWhen
from .schedules import SCHEDULES
from .state import Keeper, where
from .steps import Masked, Projected

__all__ = ["RANDOM_STARTS", "attack", "respond"]

# Words on the command line, and what `random_start` is then.
RANDOM_STARTS: dict[str, bool | str] = {"ball": True, "uniform": "radius", "surface": "sphere"}

Loss = Callable[..., tuple[Tensor, Any]]


def attack(
    self: Any,
    x: Tensor,
    target: Any,
    *,
    constraint: Any,
    eps: Any,
    step_size: Any,
    iterations: int,
    random_start: bool | str = False,
    random_restarts: int = 0,
    do_tqdm: bool = False,
    targeted: bool = False,
    custom_loss: Loss | None = None,
    should_normalize: bool = True,
    orig_input: Tensor | None = None,
    use_best: bool = True,
    return_image: bool = True,
    est_grad: tuple[float, int] | None = None,
    mixed_precision: bool = False,
    stop_when: StopWhen | None = None,
    callback: Callback | None = None,
    schedule: str = "paper",
    patience: int | None = None,
    drop_finished: bool = False,
    network: nn.Module | None = None,
    on_non_finite: OnNonFinite | None = None,
    keeper: Keeper | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """`Attacker.forward`: search the set around `orig_input` for images of the highest loss.

    Beyond upstream's own arguments it takes the following. Losses are summed over the batch, so
    that no step depends on which other images are in it.

    Parameters
    ----------
    eps, step_size
        A number, or a tensor with one number per image, shape (N,).
    random_start
        True starts uniformly inside the ball around the origin; ``"sphere"`` on its surface.
    random_restarts
        How many runs there are. Those after the first start at random, and each image keeps the
        worst case (for the loss) of all of them.
    stop_when
        ``stop_when(losses, output) -> bool tensor (N,)``, asked before each step with the loss
        and the second value of the loss call; an image for which it holds is left as it is.
    callback
        ``callback(iteration, images, losses)``, called with each iterate before it is stepped.
    schedule
        ``"paper"`` for steps of constant length, or a faster one, see `schedules`.
    patience
        An image is left as it is (with `use_best`, as it was at its best) if so many steps have
        changed its best loss by less than 1%. Where lengths fall, they fall over so many steps,
        and begin anew at half the length.
    drop_finished
        Images that are left as they are cost nothing more. For targets with one row per image.
    network
        What losses are computed on instead of the model: a copy that is the same function.
    on_non_finite
        Given, an image whose loss or gradient is not finite is left at its last iterate where
        both were, and in the end this is called with a bool tensor (N,) that says which.
    keeper
        What keeps the state of the run from step to step, and gives it back after an
        interruption, see `state.Keeper`. For a single run without random start.
    mask
        Where pixels may change, bool, (1, 1, H, W) or (N, 1, H, W). Elsewhere they are those of
        the origin, to the bit, from the start on.

    Returns
    -------
    Tensor
        Images in [0, 1], the shape of `x` (or their parameters, without `return_image`).

    Raises
    ------
    InputError
        For an unknown constraint or schedule, eps, step_size or iterations out of range, or a
        `keeper` of a run with random starts.
    """
    device = self.normalize.new_mean.device
    with torch.inference_mode(False), torch.enable_grad():
        x = _moved(x.detach(), device)
        origin = x if orig_input is None else _moved(orig_input.detach(), device)
        step = _step_class(constraint)(
            eps=_size("eps", eps, x),
            orig_input=origin,
            step_size=_size("step_size", step_size, x),
        )
        if mask is not None:
            step = _masked(step, mask, x, constraint)
        if not isinstance(iterations, numbers.Integral) or iterations < 0:
            raise InputError.also(TypeError)(
                f"iterations={iterations!r}: give a whole number, 0 or more"
            )
        if schedule not in SCHEDULES:
            raise InputError(
                f"schedule={schedule!r} is not known: choose one of {', '.join(SCHEDULES)}"
            )
        if schedule in ("lbfgs", "apgd") and not step.use_grad:
            raise InputError(
                f"schedule={schedule!r} follows the gradient, constraint={constraint!r} uses none: "
                "choose schedule='paper'"
            )
        if schedule == "lbfgs" and not _moves_freely(step):
            raise InputError(
                "schedule='lbfgs' moves along directions of its own, "
                f"{type(step).__name__}.step restricts the moves: restrict them in project, or "
                "choose schedule='paper'"
            )
        if keeper is not None and (random_start or random_restarts):
            raise InputError(
                f"random_start={random_start}, random_restarts={random_restarts}: a run that "
                "keeps its place has neither"
            )
        run = PGD(
            loss=_loss(
                self.model if network is None else network,
                self.normalize if should_normalize else None,
                custom_loss,
                mixed_precision,
            ),
            target=_moved(target, device),
            step=step,
            sign=-1 if targeted else 1,
            iterations=int(iterations),
            use_best=use_best,
            est_grad=est_grad,
            do_tqdm=do_tqdm,
            stop_when=stop_when,
            callback=callback,
            schedule=schedule,
            patience=patience,
            drop_finished=drop_finished,
            on_non_finite=on_non_finite,
            keeper=keeper,
            scaled=mixed_precision and amp_dtype(device) is torch.float16,
        )
        found, worst = None, None
        for restart in range(max(1, int(random_restarts))):
            begin = _start(step, x, random_start or restart > 0)
            iterate, losses = run.run(begin, score=random_restarts > 1)
            if found is None:
                found, worst = iterate, losses
            else:
                better = run.sign * losses > run.sign * worst
                found, worst = where(better, iterate, found), where(better, losses, worst)
        return step.to_image(found).detach() if return_image else found


def respond(
    self: Any,
    inp: Tensor,
    target: Any = None,
    make_adv: bool = False,
    with_latent: bool = False,
    fake_relu: bool = False,
    no_relu: bool = False,
    with_image: bool = True,
    **attacker_kwargs: Any,
) -> Any:
    """`AttackerModel.forward`: logits of `inp`, or of its adversarial version.

    With `with_latent`, the representation too.

    Raises
    ------
    InputError
        If `make_adv` without a target, or both `no_relu` and `fake_relu`.
    """
    if no_relu and fake_relu:
        raise InputError("no_relu and fake_relu exclude each other: give one of them")
    device = self.normalizer.new_mean.device
    inp = _moved(inp, device)
    if make_adv:
        if target is None:
            raise InputError.also(AssertionError)(
                "make_adv=True needs a target: give labels, or what the loss uses"
            )
        with evaluating(self):
            inp = self.attacker(inp, _moved(target, device), **attacker_kwargs)
    output = self.model(
        self.normalizer(inp), with_latent=with_latent, fake_relu=fake_relu, no_relu=no_relu
    )
    return (output, inp) if with_image else output


def _loss(
    network: nn.Module,
    normalize: nn.Module | None,
    custom_loss: Loss | None,
    mixed_precision: bool,
) -> Callable[[Tensor, Any], tuple[Tensor, Any]]:
    """The per-image loss, with one forward pass of the network."""

    def loss(images: Tensor, target: Any) -> tuple[Tensor, Any]:
        device = images.device
        precision: AbstractContextManager[Any] = nullcontext()  # what the caller has set
        if mixed_precision:
            precision = torch.autocast(device.type, amp_dtype(device))
        with precision:
            inp = images if normalize is None else normalize(images)
            if custom_loss is not None:
                seen_too = (images,) if getattr(custom_loss, "on_images", False) else ()
                losses, output = custom_loss(network, inp, target, *seen_too)
            else:
                output = network(inp)
                if mixed_precision and amp_dtype(device) is torch.float16:
                    output = output.float()  # in float16 small slopes of the loss would be zero
                losses = nn.functional.cross_entropy(output, target, reduction="none")
        if losses.shape != images.shape[:1]:
            raise InputError.also(AssertionError, IndexError)(
                f"the loss has shape {tuple(losses.shape)} for {images.shape[0]} images: "
                "return one value per image, shape (N,)"
            )
        return losses, output

    return loss


def _start(step: Any, x: Tensor, random: bool | str) -> Tensor:
    """A start inside the set: `x` itself, or a random point."""
    if isinstance(random, str):
        if random not in ("sphere", "radius"):
            raise InputError(
                f'random_start={random!r} is not known: give True, False, "sphere" or "radius"'
            )
        draw = getattr(step, f"random_on_{random}", None)
        if draw is None:
            raise InputError(
                f'random_start="{random}" is for constraint "2": use random_start=True'
            )
        return step.project(draw(x)).detach()
    return step.project(step.random_perturb(x) if random else x).detach()


def _masked(step: Any, mask: Any, x: Tensor, constraint: Any) -> Masked:
    """The same set of images that change where the mask says so."""
    from robustness.attacker import STEPS

    if isinstance(step, STEPS["fourier"]):
        raise InputError(
            f"constraint={constraint!r} moves all pixels together: give no mask, or another "
            "constraint"
        )
    mask = as_mask(mask)
    check_mask(mask, x)
    return Masked(step, mask.to(x.device, non_blocking=x.device.type == "cuda"))


def _moves_freely(step: Any) -> bool:
    """Whether any direction is a move: for upstream's sets, not where a set has its own step."""
    from robustness.attacker import STEPS

    while isinstance(step, (Masked, Projected)):
        step = step.inner
    return type(step).step in {getattr(one, "step", None) for one in STEPS.values()}


def _step_class(constraint: Any) -> Callable[..., Any]:
    from robustness.attack_steps import AttackerStep
    from robustness.attacker import STEPS

    if callable(constraint) and not (
        isinstance(constraint, type) and not issubclass(constraint, AttackerStep)
    ):
        return constraint if _makes_steps(constraint) else partial(_projected, constraint)
    if str(constraint) not in STEPS:
        raise InputError.also(KeyError, TypeError)(
            f"constraint={constraint!r} is not known: choose one of {', '.join(STEPS)}, "
            "or give a subclass of robustness.attack_steps.AttackerStep, or a function "
            "(images, origin, eps) -> images"
        )
    found: Callable[..., Any] = STEPS[str(constraint)]
    return found


def _projected(projection: Callable[..., Any], **of_set: Any) -> Projected:
    """Upstream's steps of L2 length, and one's own projection."""
    from robustness.attacker import STEPS

    return Projected(STEPS["2"](**of_set), projection)


def _makes_steps(constraint: Callable[..., Any]) -> bool:
    """Whether it is called as an `AttackerStep` is made; else it is a projection."""
    try:
        inspect.signature(constraint).bind(orig_input=None, eps=None, step_size=None)
    except TypeError:
        return False
    except ValueError:  # it has no signature, as some built-in functions have none
        return isinstance(constraint, type)
    return True


def _size(name: str, value: Any, x: Tensor) -> Any:
    """A radius or step size: a number as it is, one per image shaped to broadcast."""
    if value is None:
        return None
    if isinstance(value, Tensor) and value.dim() > 0:
        if value.shape != x.shape[:1]:
            raise InputError.also(RuntimeError, TypeError)(
                f"{name} has shape {tuple(value.shape)} for {len(x)} images: "
                f"give a number, or one per image, shape ({len(x)},)"
            )
        value = value.to(device=x.device, dtype=x.dtype)
        valid = bool((value >= 0).all())
        value = value.view(-1, *[1] * (x.dim() - 1))
    else:
        if not isinstance(value, (numbers.Real, Tensor)):
            raise InputError.also(TypeError)(
                f"{name}={value!r} is not a number: give a number, or one per image"
            )
        value = float(value)
        valid = value >= 0 and not math.isnan(value)
    if not valid:
        raise InputError(f"{name}={value!r} is negative or not a number: give 0 or more")
    return value


def _moved(value: Any, device: torch.device) -> Any:
    if isinstance(value, tuple):
        return tuple(_moved(one, device) for one in value)
    if not isinstance(value, Tensor):
        return value
    # A copy to the CPU that does not block would be read before it is there.
    value = value.to(device, non_blocking=device.type == "cuda")
    return value if torch.is_inference_mode_enabled() else differentiable(value)
