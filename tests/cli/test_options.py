"""Options are declared once: in every command the same words, the same checks, the same errors."""

from __future__ import annotations

from functools import partial

import pytest
import typer
from robustness.datasets import DATASETS

import robust_reps_ext as rr
from robust_reps_ext import cli
from robust_reps_ext.results.reader import read_results

GROUPS = typer.main.get_command(cli.app).commands
COMMANDS = {name: {one.name: one for one in group.params} for name, group in GROUPS.items()}
COMMANDS |= {
    f"{name} {command}": {one.name: one for one in GROUPS[name].commands[command].params}
    for name, command in (("store", "merge"), ("models", "convert"))
}
SHARED = COMMANDS["invert"]
EDITS = {"enhance", "generate", "inpaint", "translate", "upscale"}
# Those that say something else, and why they must.
OWN_WORDS = {
    "model": {"metamers", "robustify", "scorecard"},
    "name": {"preset"},
    "n": {"activations", "directions", "generate", "evaluate", "robustify", "scorecard"},
    "eps": {"curve", "evaluate", "paper", "scorecard", *EDITS},
    "step_size": {"add-feature", "curve", "evaluate", "robustify", *EDITS},
    "iterations": {"add-feature", "metamers", "robustify", "visualize", *EDITS},
    "schedule": EDITS,
    "images": {"generate", "upscale"},
    "constraint": {"evaluate"},
    "out": {"robustify", "models convert"},
    "start": {"robustify", "generate"},
    "seed": {"critters", "study"},
    "size": {"critters"},
    "dataset": {"models convert"},
    "data": {"demo"},
    "overwrite": {"demo", "paper", "robustify", "scorecard"},
}
REQUIRED = {
    "--model": "good.pt",
    "--against": "good.pt",
    "--robust": "good.pt",
    "--standard": "good.pt",
    "--dataset": "critters",
    "--out": "out",
    "--coordinate": "3",
    "--to-class": "1",
}


@pytest.fixture
def last_line(command, monkeypatch, tmp_path):
    """Call `robust-reps` in an empty folder; its status and the last line that it says."""
    monkeypatch.chdir(tmp_path)

    def call(*words):
        status, said, told = command(*words)
        return status, (said + told).splitlines()[-1]

    return call


def taking(name):
    return [command for command, options in COMMANDS.items() if name in options]


def least(command, **given):
    """A command with what it must be given, and more."""
    needed = {one.opts[0] for one in COMMANDS[command].values() if one.required}
    values = {flag: value for flag, value in REQUIRED.items() if flag in needed}
    values |= {f"--{name.replace('_', '-')}": value for name, value in given.items()}
    words = [*command.split(), *(word for pair in values.items() for word in pair)]
    return [*words, "merged"] if command == "store merge" else words


@pytest.mark.parametrize("name", sorted(SHARED))
def test_an_option_has_the_same_words_in_every_command(name):
    shown = SHARED[name]
    for command in taking(name):
        option = COMMANDS[command][name]
        if command in OWN_WORDS.get(name, ()):
            assert option.help != shown.help
            continue
        assert option.opts == shown.opts
        assert option.help == shown.help
        assert option.metavar == shown.metavar
        assert option.rich_help_panel == shown.rich_help_panel


def test_a_default_may_be_another():
    assert {name: COMMANDS[name]["n"].default for name in ("invert", "curve", "visualize")} == {
        "invert": 8,
        "curve": 4,
        "visualize": 2,
    }
    assert str(COMMANDS["demo"]["out"].default) == "demo"


@pytest.mark.parametrize("name", ["data", "out"])
def test_every_command_refuses_a_file_for_a_folder(last_line, name, tmp_path):
    (tmp_path / "text.txt").touch()
    for taker in {*taking(name)} - {"models convert"}:
        status, said = last_line(*least(taker, **{name: "text.txt"}))
        assert (status, said) == (2, f"error: --{name} text.txt is a file: give a folder")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("eps", "-1", "eps=-1.0 is negative or not a number: give 0 or more"),
        ("eps", "nan", "eps=nan is negative or not a number: give 0 or more"),
        ("step_size", "inf", "step_size=inf: give a finite length"),
        ("iterations", "0", "iterations=0: give a whole number, 1 or more"),
        ("batch_size", "0", "batch_size=0: give 1 or more"),
        ("save_interval", "-1", "snapshot_interval=-1.0 (--save-interval): give seconds, 0 "
         "(after every step) or more"),
    ],
)  # fmt: skip
def test_every_command_refuses_what_no_run_can_use(last_line, name, value, message):
    for taker in taking(name):
        assert last_line(*least(taker, **{name: value})) == (2, f"error: {message}")


@pytest.fixture
def few(monkeypatch):
    sizes = {"n_train": 18, "n_val": 18}
    data_set = partial(DATASETS["critters_fine"], custom_class_args=sizes)
    monkeypatch.setitem(DATASETS, "critters_fine", data_set)
    return ["--model", "critters-robust", "--dataset", "critters_fine", "--out", "out"]


def test_evaluate_finds_the_fastest_batch(last_line, few, tmp_path):
    line = ["evaluate", *few, "--n", 6, "--eps", 1.5, "--attack-steps", 1]
    last_line(*line, "--batch-size", "auto")
    [found] = read_results(tmp_path / "out")
    last_line(*line, "--batch-size", 2, "--overwrite")
    [again] = read_results(tmp_path / "out")
    assert found.results["correct"].tolist() == again.results["correct"].tolist()
    assert set(found.results["n"]) == {6}


def test_robustify_stops_by_itself_and_finds_the_fastest_batch(last_line, few, tmp_path):
    line = ["robustify", *few, "--n", 2, "--step-size", 0]
    status, _ = last_line(*line, "--iterations", "auto", "--batch-size", "auto")
    assert status == 0
    [settings] = tmp_path.glob("out/robustified.json")
    assert '"patience": 100' in settings.read_text()


def test_paper_refuses_an_attack_that_cannot_be_made(tmp_path):
    from robust_reps_ext.datasets.samples import open_data_set
    from robust_reps_ext.experiments.paper import run_paper

    model = rr.load_model("critters-robust")
    with pytest.raises(rr.InputError, match="eps=inf: give a radius"):
        run_paper(model, model, open_data_set("critters_fine"), tmp_path, eps=float("inf"))
    assert list(tmp_path.iterdir()) == []


LEAVES = sorted(
    name if not hasattr(group, "commands") else f"{name} {inner}"
    for name, group in GROUPS.items()
    for inner in getattr(group, "commands", [""])
)


@pytest.mark.parametrize("name", [*LEAVES, "store", "models"])
def test_a_slip_on_the_command_line_is_one_line(command, monkeypatch, tmp_path, name):
    monkeypatch.chdir(tmp_path)
    slips = [["--nosuch"], ["--nosuch", "x"]]
    if name == "store" or any(param.required for param in COMMANDS.get(name, {}).values()):
        slips.append([])
    slips += [[f"--{option}"] for option in ("model", "seed") if option in COMMANDS.get(name, {})]
    for slip in slips:
        status, out, err = command(*name.split(), *slip)
        assert (status, out) == (2, "")
        assert err.startswith("error: ")
        assert len(err.splitlines()) == 1
        assert f"{name} --help" in err
