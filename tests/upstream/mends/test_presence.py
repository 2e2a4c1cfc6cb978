"""Each mend sees its defect in upstream as installed, and no more once it has been applied."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import torch

from robust_reps_ext.upstream import mend

CODE = """
import importlib, json, sys, warnings
warnings.simplefilter("ignore")
from robust_reps_ext.upstream import mend
from robust_reps_ext.upstream.mends import torchvision_models_utils
sys.modules["torchvision.models.utils"] = torchvision_models_utils
told, modules = {}, [importlib.import_module(name) for name in mend.MENDED]
for module, (name, file) in zip(modules, mend.MENDED.items()):
    for one in importlib.import_module(f"robust_reps_ext.upstream.mends.{file}").MENDS:
        before = one.present(module)
        one.apply(module)
        told[f"{name}: {one.name}"] = [before, one.present(module)]
print(json.dumps(told))
"""


def _clamp_stops_at_its_bounds():
    x = torch.zeros((), requires_grad=True)
    return not torch.autograd.grad(x.clamp(0, 1), x)[0]


def test_a_mend_sees_its_defect_until_it_is_applied():
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        env={**os.environ, "ROBUST_REPS_EXT_DISABLE": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    if not _clamp_stops_at_its_bounds():  # torch before 2.14
        assert told.pop("robustness.tools.helpers: InputNormalize.forward") == [False, False]
    assert {one: seen for one, seen in told.items() if seen != [True, False]} == {}
    assert {one.partition(":")[0] for one in told} == set(mend.MENDED)
    assert len(told) > 60


def test_each_mend_says_where_it_acts_and_why():
    for name, file in mend.MENDED.items():
        __import__(name)
        for one in sys.modules[f"robust_reps_ext.upstream.mends.{file}"].MENDS:
            assert one.where.partition(":")[0].endswith(".py"), one
            assert one.where.rpartition(":")[2][0].isdigit(), one
            assert one.why.endswith("."), one
