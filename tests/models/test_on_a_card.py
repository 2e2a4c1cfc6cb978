"""Where models are loaded to on a machine with cards, pretended ones."""

from __future__ import annotations

import pytest
import torch
from pretend_cuda import PretendCuda
from test_every_call import network

import robust_reps_ext as rr

HALF = ([0.5] * 3, [0.25] * 3)


def places(model):
    return {str(one.device) for one in (*model.parameters(), *model.buffers())}


def test_a_name_goes_where_the_command_goes(monkeypatch):
    with PretendCuda(2):
        assert places(rr.load_model("critters-robust", check=False)) == {"cuda:0"}
        assert places(rr.load_model("critters-robust", check=False, device="cpu")) == {"cpu"}
        monkeypatch.setenv("LOCAL_RANK", "1")
        assert places(rr.load_model("critters-robust", check=False)) == {"cuda:1"}
    assert places(rr.load_model("critters-robust", check=False)) == {"cpu"}


def test_a_network_stays_where_it_is():
    with PretendCuda():
        assert places(rr.load_model(network(), normalize=HALF)) == {"cpu"}
        assert places(rr.load_model(network().to("cuda"), normalize=HALF)) == {"cuda:0"}
        assert places(rr.load_model(network(), normalize=HALF, device="cuda")) == {"cuda:0"}


@pytest.mark.parametrize("device", ["cuda:7", torch.device("cuda", 7)])
def test_a_card_that_is_not_there_is_told_in_one_line(device):
    with PretendCuda(), pytest.raises(rr.InputError, match="has 1 card"):
        rr.load_model(network(), normalize=HALF, device=device)
