"""Directions are read from arrays and from weights of `overcomplete`; nothing in a file runs."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from robust_reps_ext.models.dictionaries import read_dictionary
from robust_reps_ext.runtime.errors import InputError

ATOMS = torch.rand(6, 4, generator=torch.Generator().manual_seed(0))
ENCODER = {"encoder.weight": torch.rand(6, 4), "encoder.bias": torch.rand(6)}


@pytest.mark.parametrize(
    "weights",
    [
        {**ENCODER, "dictionary._weights": ATOMS, "dictionary.multiplier": torch.tensor(0.0)},
        {"W": torch.rand(3, 4), "D": ATOMS},
        {"vectors": ATOMS, "most.value": torch.rand(6, 3)},
        {"atoms": ATOMS},
    ],
    ids=["sparse autoencoder", "factorisation", "directions", "one matrix"],
)
@pytest.mark.parametrize("ending", [".pt", ".safetensors"])
def test_the_atoms_are_those_of_the_file(weights, ending, tmp_path):
    path = tmp_path / f"weights{ending}"
    if ending == ".pt":
        torch.save(weights, path)
    else:
        save_file(weights, path)
    assert torch.equal(read_dictionary(path), ATOMS)


@pytest.mark.parametrize("kind", ["npy", "safetensors"])
def test_one_vector_is_a_matrix_of_one_row(kind, tmp_path):
    path = tmp_path / f"vector.{kind}"
    if kind == "npy":
        np.save(path, ATOMS[0].double().numpy())
    else:
        save_file({"v": ATOMS[0]}, path)
    assert torch.equal(read_dictionary(path), ATOMS[:1])


def test_archetypes_are_mixed_as_overcomplete_mixes_them(tmp_path):
    points, mixture = torch.rand(8, 4), torch.rand(6, 8) - 0.3
    relax = torch.rand(6, 4) * 0.01
    torch.save(
        {
            **ENCODER,
            "dictionary.C": points,
            "dictionary.W": mixture,
            "dictionary.Relax": relax,
            "dictionary.multiplier": torch.tensor(0.2),
        },
        tmp_path / "ra.pt",
    )
    shares = mixture.clamp(min=0)
    wanted = (shares / shares.sum(1, keepdim=True)) @ points + relax
    torch.testing.assert_close(read_dictionary(tmp_path / "ra.pt"), wanted)


class Runs:
    """Would print, if it were built."""

    def __reduce__(self):
        return print, ("it ran",)


def test_what_is_no_dictionary_is_refused_and_nothing_runs(tmp_path, capsys):
    torch.save(ENCODER | {"other": ATOMS}, tmp_path / "two.pt")
    with pytest.raises(InputError, match=r"two.pt holds no directions \(encoder.bias, encoder"):
        read_dictionary(tmp_path / "two.pt")
    with pytest.raises(InputError, match=r"none.pt"):
        read_dictionary(tmp_path / "none.pt")
    with (tmp_path / "code.pt").open("wb") as file:
        pickle.dump({"dictionary._weights": Runs()}, file)
    with pytest.raises(InputError):
        read_dictionary(tmp_path / "code.pt")
    np.save(tmp_path / "images.npy", ATOMS.view(1, 2, 3, 4))
    with pytest.raises(InputError, match=r"images.npy holds no directions: .* give \(K, k\)"):
        read_dictionary(tmp_path / "images.npy")
    misfit = {"C": torch.rand(3, 4), "W": torch.rand(6, 8), "Relax": torch.rand(6, 4)}
    torch.save(misfit, tmp_path / "misfit.pt")
    with pytest.raises(InputError, match=r"misfit.pt holds C, W, Relax that do not fit"):
        read_dictionary(tmp_path / "misfit.pt")
    assert "it ran" not in capsys.readouterr().out
