"""TensorBoard on the experiments of a store."""

from __future__ import annotations

import pytest

import robust_reps_ext  # noqa: F401
from robust_reps_ext.runtime.errors import InputError

import cox.tensorboard_view  # isort: skip
from cox_stores import fill


def test_tensorboard_is_started_without_a_shell(tmp_path):
    from robust_reps_ext.upstream.stores.tensorboard import command

    for name, lr in (("a", 0.1), ("b", 0.2)):
        row = {"lr": lr, "note": "$(touch mark); `id`, x:y"}
        fill(tmp_path, name, "metadata", [row], {"lr": float, "note": str})
    arguments = command(str(tmp_path), "{lr} {note}", port=1, filters={"lr": "0.2"})
    assert arguments[-4:] == [
        "--logdir_spec",
        f"0.2 $(touch mark); `id`_ x_y---b:{tmp_path / 'b'}",
        "--port",
        "1",
    ]
    with pytest.raises(InputError, match="parameters are lr, note"):
        command(str(tmp_path), "{epochs}")
    with pytest.raises(InputError, match=r"--filter-param lr '\(' is no regular expression"):
        command(str(tmp_path), "{lr}", filters={"lr": "("})
    with pytest.raises(InputError, match="no parameter size"):
        command(str(tmp_path), "{lr}", filters={"size": "1"})
    assert cox.tensorboard_view.main.__module__.startswith("robust_reps_ext")
