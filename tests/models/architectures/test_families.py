"""The table of families in docs/models.md: what holds for each, found by trying it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from families import CLASSES, FAMILIES, MEAN, NORMALIZE, SOME_FAST, STD, made
from torch import nn

import robust_reps_ext as rr
from robust_reps_ext.models.architectures import recognized
from robust_reps_ext.models.layers import RepresentationModel

DOCS = Path(__file__).parents[3] / "docs" / "models.md"

COLUMNS = (
    "logits are the network's",
    "R(x) is the last linear layer's input",
    "`invert` lowers the distance",
    "`visualize` raises the coordinate",
    "ReLU passed",
    "recognised by its weights",
)
_found: dict[str, list[str]] = {}


@pytest.mark.parametrize("name", SOME_FAST)
def test_family(name):
    try_family(name)
    assert row(name) in DOCS.read_text("utf-8").splitlines()


def try_family(name):
    _, size, head, relu = FAMILIES[name]
    network = made(name)
    seen = []
    handle = network.get_submodule(head).register_forward_pre_hook(
        lambda _module, args: seen.append(args[0].flatten(1))
    )
    x = torch.rand(1, 3, size, size)
    with torch.no_grad():
        logits = network((x - MEAN) / STD)
    handle.remove()
    names = set(network.state_dict())

    model = rr.load_model(network, normalize=NORMALIZE)
    with torch.no_grad():
        (ours, latent), _ = model(x, with_latent=True)
    torch.testing.assert_close(ours, logits, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(latent, seen[0], atol=1e-6, rtol=1e-6)
    if isinstance(model.model, RepresentationModel):
        assert (model.model.site(x).relu is not None) is relu

    steps = {"schedule": "paper", "iterations": 4, "step_size": 0.3}
    inverted = rr.invert(model, x, **steps)
    assert inverted.objective[0] < 0.95 * inverted.trace[0, 0]
    raised = rr.visualize(model, coordinates=[3], seeds=x, **steps).synthesis
    assert raised.objective[0] > raised.trace[0, 0]

    assert set(network.state_dict()) == names
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in network.modules())
    _found[name] = [*["yes"] * 4, "yes" if relu else "there is none", recognition(network)]


def row(name: str) -> str:
    """What docs/models.md should say of it."""
    return f"| {name} | " + " | ".join(_found[name]) + " |"


def recognition(network: nn.Module) -> str:
    """Whether the weights alone say which architecture they are of."""
    try:
        found = recognized(network.state_dict())
    except rr.InputError as error:
        return "several fit: `arch=`" if "these weights fit timm:" in str(error) else str(error)
    return "yes" if found[1] == CLASSES else f"with {found[1]} classes"


@pytest.mark.slow
def test_the_documentation_has_this_table():
    """Whoever changes what holds finds the table to put into docs/models.md in the message."""
    for name in FAMILIES:
        if name not in _found:
            try_family(name)
    lines = ["| family | " + " | ".join(COLUMNS) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
    table = "\n".join([*lines, *map(row, FAMILIES)])
    assert table in DOCS.read_text("utf-8"), f"docs/models.md should say\n{table}"
