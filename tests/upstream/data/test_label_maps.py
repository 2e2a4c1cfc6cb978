"""Groups of classes: what a group that matches nothing is called."""

from __future__ import annotations

import pytest

from robust_reps_ext.runtime.errors import InputError
from robust_reps_ext.upstream.data.label_maps import custom_label_mapping


@pytest.mark.parametrize(
    ("group", "told"),
    [(["a", "b", "c"], r"\(a, b, c\) matches"), (["a", "b", "c", "d"], r"\(a, b, c, \.{3}\) mat")],
)
def test_a_group_without_folders_is_named_by_its_first_three(group, told):
    with pytest.raises(InputError, match=told):
        custom_label_mapping(["x"], {"x": 0}, [group])
