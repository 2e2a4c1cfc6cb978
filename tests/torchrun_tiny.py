"""What the tests of torchrun start: robustness.main on 65 critters, and a rank that dies.

Without --times it is the command itself; with ``--times FILE`` the lines of a JSON file, one after
the other in the same processes. ``--stop RANK STEP SIGNAL`` sends a rank a signal after so many
steps of training, but not after a restart.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from robustness import datasets, train
from robustness.datasets import DATASETS
from torch import nn

import robust_reps_ext  # noqa: F401
from robust_reps_ext.upstream import distributed
from robust_reps_ext.upstream.mends import main

N_TRAIN, N_VAL = 65, 17


class Plain(nn.Module):
    """A small network without batch norm, with upstream's forward call."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, 2)
        self.fc = nn.Linear(6 * 15 * 15, 9)

    def forward(self, x, with_latent=False, fake_relu=False, no_relu=False):
        latent = self.conv(x).relu().flatten(1)
        return (self.fc(latent), latent) if with_latent else self.fc(latent)


class Normed(Plain):
    """The same with batch norm."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Sequential(self.conv, nn.BatchNorm2d(6))


def register():
    class Tiny(DATASETS["critters"]):
        def __init__(self, data_path=None, **given):
            sizes = {"n_train": N_TRAIN, "n_val": N_VAL}
            super().__init__(data_path, size=32, custom_class_args=sizes, **given)

        def get_model(self, arch, pretrained=False):
            return {"plain": Plain, "normed": Normed}[arch]()

    DATASETS["critters"] = Tiny
    datasets.DATASETS["critters"] = Tiny


def stop_at(rank, step, signal):
    """Have `rank` signalled once, after `step` steps."""
    steps = []
    upstream = train.train_model

    def hook(model, at, loop_type, images, labels):
        if loop_type != "train" or distributed.rank() != rank:
            return
        steps.append(at)
        os.write(2, b"[trained a step]\n")
        if len(steps) == step and os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") == "0":
            os.kill(os.getpid(), signal)

    def train_model(args, *rest, **named):
        args.iteration_hook = hook
        return upstream(args, *rest, **named)

    train.train_model = train_model


if __name__ == "__main__":
    register()
    words = sys.argv[1:]
    if words[0] == "--times":
        with distributed.process_group():
            for line in json.loads(Path(words[1]).read_text()):
                main._command(line)
    else:
        if words[0] == "--stop":
            stop_at(*map(int, words[1:4]))
            words = words[4:]
        main.run(words)
