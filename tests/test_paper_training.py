"""Tables 2 and 3 as training has them: each step of the optimiser, each call of the adversary."""

from __future__ import annotations

import pytest
import torch
from cox.utils import Parameters, override_json
from networks import Linear, statistics
from robustness import defaults, train
from robustness.attacker import AttackerModel
from robustness.datasets import DATASETS
from torch.optim.optimizer import register_optimizer_step_pre_hook
from torch.utils.data import DataLoader, TensorDataset

from robust_reps_ext.upstream.training.options import GROUPS, entries
from robust_reps_ext.upstream.training.presets import preset_path

# Preset, and the learning rate from each epoch on (Table 2: 0.1, dropped by 10 at 30 and 60, or
# at 100).
TABLE_2 = [
    ("restricted_imagenet_standard", {0: 0.1, 30: 0.01, 60: 0.001}),
    ("restricted_imagenet_robust", {0: 0.1, 30: 0.01, 60: 0.001}),
    ("imagenet_robust", {0: 0.1, 100: 0.01}),
]
EPOCHS = 110


def options(name, out):
    """What `python -m robustness.main --config-path` makes of a preset."""
    given = {"config_path": str(preset_path(name)), "out_dir": str(out)}
    args = override_json(Parameters(given), given["config_path"])
    for group in GROUPS:
        if group != "PGD_ARGS" or args.adv_train:
            args = defaults.check_and_fill_args(args, entries(group), DATASETS[args.dataset])
    return args


@pytest.fixture(scope="module", params=TABLE_2, ids=[name for name, _ in TABLE_2])
def run(request, tmp_path_factory):
    """A whole run of a preset on two images and a linear network, as it was watched."""
    name, rates = request.param
    out = tmp_path_factory.mktemp(name)
    args = options(name, out)
    kept = dict(args.as_dict())
    args.log_iters, args.save_ckpt_iters, args.save_interval, args.fast = 0, -1, 0, 0
    torch.manual_seed(0)
    model = AttackerModel(Linear(48, 2), statistics())
    attacks, steps = [], []
    model.attacker.register_forward_hook(
        lambda _, given, how, end: attacks.append((given[0], how, end)), with_kwargs=True
    )
    watching = register_optimizer_step_pre_hook(
        lambda optimizer, *_: steps.append((type(optimizer), dict(optimizer.param_groups[0])))
    )
    images = TensorDataset(torch.full((2, 3, 4, 4), 0.5), torch.tensor([0, 1]))
    loaders = DataLoader(images, 2), DataLoader(images, 2)
    try:
        train.train_model(args, model, loaders)
    finally:
        watching.remove()
    return name, rates, kept, steps, attacks


def test_table_2(run):
    name, rates, options, steps, _ = run
    assert options["arch"] == "resnet50"
    assert options["batch_size"] == 256
    assert options["dataset"] == name.rpartition("_")[0]
    assert options["data_aug"] == 1
    assert len(steps) == EPOCHS
    for epoch, (kind, group) in enumerate(steps):
        assert kind is torch.optim.SGD
        assert group["momentum"] == 0.9
        assert group["weight_decay"] == 5e-4
        assert not group["nesterov"]
        rate = rates[max(first for first in rates if first <= epoch)]
        assert group["lr"] == pytest.approx(rate), epoch


def test_table_3_and_a_3(run):
    name, _, _, _, attacks = run
    if name.endswith("standard"):
        assert attacks == []
        return
    training = [one for one in attacks if one[1]["random_start"]]
    assert len(training) >= EPOCHS
    for begin, how, end in training:
        assert (how["constraint"], how["eps"], how["step_size"]) == ("2", 3, 0.5)
        assert how["iterations"] == 7
        assert not how.get("targeted", False)
        assert how["random_restarts"] == 0
        assert how.get("custom_loss") is None
        assert float((end - begin).flatten(1).norm(dim=1).max()) <= 3 + 1e-4


def test_a_random_start_moves_the_image_before_the_first_step(tmp_path):
    """A.3: starting from a random initial perturbation; without steps, that is all that moves."""
    args = options("restricted_imagenet_robust", tmp_path)
    model = AttackerModel(Linear(48, 2), statistics())
    x = torch.full((64, 3, 4, 4), 0.5)
    start = model(
        x, torch.zeros(64).long(), make_adv=True, constraint=args.constraint, eps=0.4,
        step_size=0.0, iterations=1, random_start=bool(args.random_start), use_best=False,
    )[1]  # fmt: skip
    radius = (start - x).flatten(1).norm(dim=1)
    assert float(radius.min()) > 0
    assert float(radius.max()) <= 0.4 + 1e-6
