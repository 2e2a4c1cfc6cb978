"""The table in docs/errors.md: what each command says to bad input, found by giving it that."""

from __future__ import annotations

import re
import shlex
from functools import partial
from pathlib import Path

import pytest
import torch
from robustness.datasets import DATASETS
from tiny_imagenet_trees import save

from robust_reps_ext import cli
from robust_reps_ext.datasets.critters.imagenet_layout import write_plain_layout
from robust_reps_ext.datasets.critters.networks import ARCHITECTURES
from robust_reps_ext.datasets.restricted_imagenet import sub_classes

DOCS = Path(__file__).parents[2] / "docs" / "errors.md"
FEW_CRITTERS = partial(DATASETS["critters"], custom_class_args={"n_train": 9, "n_val": 24})
FIXED = "--model good.pt --dataset critters --data critters --iterations 1 --out out"
PAPER = "--robust good.pt --standard good.pt --dataset critters --data critters --out out"
SCORECARD = "--model good.pt --against good.pt --dataset critters --data critters --out out"
BAR = "━"
_found: dict[str, str] = {}

# Each begins with a command; the files they name are those that `folder` writes.
INPUTS = (
    "nosuch",
    "--nosuch",
    "critters",
    "critters drawn --layout nosuch",
    "critters drawn --size 0",
    "critters drawn --size big",
    "critters drawn --per-class 0",
    "critters drawn --val-per-class -1",
    "critters text.txt",
    "preset nosuch",
    "preset ../secret",
    "doctor nosuch",
    "models nosuch",
    "models resnet50_l2_eps33",
    "models convert missing.pt out.safetensors",
    "models convert text.txt out.safetensors",
    "models convert code.pt out.safetensors",
    "models convert good.pt",
    "models convert good.pt out.txt",
    "models convert good.pt text.txt/out.safetensors",
    "models convert good.pt out.safetensors --dataset nosuch",
    "models convert good.pt out.safetensors --arch nosuch",
    "invert",
    "invert --model missing.pt --dataset critters --data critters --out out",
    "invert --model missing/good.pt --dataset critters --data critters --out out",
    "invert --model empty --dataset critters --data critters --out out",
    "invert --model empty.pt --dataset critters --data critters --out out",
    "invert --model text.txt --dataset critters --data critters --out out",
    "invert --model cut.pt --dataset critters --data critters --out out",
    "invert --model code.pt --dataset critters --data critters --out out",
    "invert --model numbers.pt --dataset critters --data critters --out out",
    "invert --model broken.safetensors --dataset critters --data critters --out out",
    "invert --model critters-robst --dataset critters --data critters --out out",
    "invert --model good.pt --dataset nosuch --out out",
    "invert --model good.pt --dataset cifar --out out",
    "invert --model good10.pt --dataset cifar --data empty --out out",
    "invert --model good.pt --dataset imagenet --data pictures --out out",
    "invert --model good1000.pt --dataset imagenet --out out",
    "invert --model good1000.pt --dataset imagenet --data missing --out out",
    "invert --model good1000.pt --dataset imagenet --data empty --out out",
    "invert --model good.pt --dataset restricted_imagenet --data empty --out out",
    "invert --model good1000.pt --dataset imagenet --data pictures --out out",
    "invert --model good.pt --dataset tiny_imagenet --out out",
    "invert --model good.pt --dataset tiny_imagenet --data empty --out out",
    "invert --model good.pt --dataset tiny_imagenet --data lists --out out",
    "invert --model good.pt --dataset tiny_imagenet --data tiny --out out",
    "invert --model good.pt --dataset restricted_tiny_imagenet --data odd --out out",
    "invert --model good.pt --dataset critters --data text.txt --out out",
    f"invert {FIXED} --arch nosuch",
    f"invert {FIXED} --arch resnet18",
    f"invert {FIXED} --layer nosuch",
    f"invert {FIXED} --n 0",
    f"invert {FIXED} --n 1000",
    f"invert {FIXED} --n 20 --start images",
    f"invert {FIXED} --n many",
    f"invert {FIXED} --eps -1",
    f"invert {FIXED} --eps nan",
    f"invert {FIXED} --step-size -1",
    f"invert {FIXED} --step-size inf",
    f"invert {FIXED} --batch-size 0",
    f"invert {FIXED} --iterations 0",
    f"invert {FIXED} --iterations many",
    f"invert {FIXED} --constraint nosuch",
    f"invert {FIXED} --mask missing.png",
    f"invert {FIXED} --mask text.txt",
    f"invert {FIXED} --mask 60,0,9,4",
    f"invert {FIXED} --batch-size many",
    f"invert {FIXED} --precision float16",
    f"invert {FIXED} --schedule fast",
    f"invert {FIXED} --device nosuch",
    f"invert {FIXED} --device meta",
    f"invert {FIXED} --save-interval -1",
    f"invert {FIXED} --save-interval nan",
    f"invert {FIXED} --seed -1",
    f"invert {FIXED} --seed 99999999999999999999",
    f"invert {FIXED} --targets nosuch",
    f"invert {FIXED} --on-bad-image nosuch",
    f"invert {FIXED} --n 0 --targets kaleidoscope",
    f"invert {FIXED} --out results --n 2 --step-size 2",
    f"invert {FIXED} --paper --schedule feather",
    f"invert {FIXED} --name one --name two",
    f"invert {FIXED} --out text.txt",
    f"invert {FIXED} --out text.txt/out",
    f"generate {FIXED} --classes nosuch",
    f"generate {FIXED} --classes 0,999",
    f"generate {FIXED} --downsample 7",
    f"generate {FIXED} --judge missing.pt --start noise",
    "generate --model good.pt --out out",
    f"generate {FIXED} --start nosuch",
    f"translate {FIXED}",
    f"translate {FIXED} --to-class nosuch",
    f"inpaint {FIXED} --hole 0",
    f"inpaint {FIXED} --hole 999",
    f"inpaint {FIXED} --hole 9 --mask 0,0,8,8",
    f"inpaint {FIXED} --to-class nosuch",
    f"upscale {FIXED} --factor 1",
    f"upscale {FIXED} --factor 7",
    f"enhance {FIXED} --to-class nosuch",
    f"enhance {FIXED} --objective nosuch",
    f"enhance {FIXED} --eps -1",
    f"curve {FIXED} --radii 8,2",
    f"curve {FIXED} --radii two",
    f"curve {FIXED} --radii -1,2",
    f"curve {FIXED} --radii nan",
    f"curve {FIXED} --n 20",
    f"curve {FIXED} --layer nosuch",
    f"interpolate {FIXED} --steps 0",
    f"interpolate {FIXED} --n 0",
    f"interpolate {FIXED} --layer nosuch",
    f"visualize {FIXED} --coordinates nosuch",
    f"visualize {FIXED} --coordinates random:0",
    f"visualize {FIXED} --coordinates random:99999",
    f"visualize {FIXED} --coordinates 99999",
    f"visualize {FIXED} --coordinates -1",
    f"visualize {FIXED} --transform nosuch",
    f"visualize {FIXED} --transform jitter:x",
    f"visualize {FIXED} --parameterization nosuch",
    f"visualize {FIXED} --layer nosuch",
    f"add-feature {FIXED}",
    f"add-feature {FIXED} --coordinate 99999",
    f"add-feature {FIXED} --coordinate -1",
    f"add-feature {FIXED} --coordinate 1 --layer nosuch",
    f"activations {FIXED} --k 0",
    f"activations {FIXED} --k 1000",
    f"activations {FIXED} --coordinates 99999",
    f"activations {FIXED} --n 0",
    f"activations {FIXED} --all --k 0",
    f"activations {FIXED} --all --k 1000",
    f"activations {FIXED} --all --coordinates 3",
    f"activations {FIXED} --raised",
    f"activations {FIXED} --layer nosuch",
    "activations --model good.pt --dataset cifar --out out",
    f"directions {FIXED} --method nosuch",
    f"directions {FIXED} --method pca --components 0",
    f"directions {FIXED} --method pca --components 1000",
    f"directions {FIXED} --method probe --n 2",
    f"directions {FIXED} --k 1000",
    f"directions {FIXED} --vectors missing.pt",
    f"directions {FIXED} --vectors numbers.pt",
    f"directions {FIXED} --vectors good.pt --method class",
    f"directions {FIXED} --n 0",
    f"directions {FIXED} --layer nosuch",
    "evaluate --dataset critters --data critters --out out",
    "evaluate --model good.pt --dataset cifar --out out",
    "evaluate --model missing.pt --dataset critters --data critters --out out",
    "evaluate --model good.pt --dataset critters --data critters --out out --attack-steps few",
    "evaluate --model good.pt --dataset critters --data critters --out out --attack-steps 0",
    "evaluate --model good.pt --dataset critters --data critters --out out --attack apgd "
    "--step-size 1",
    "evaluate --model good.pt --dataset critters --data critters --out out --radii 1,0.5",
    "evaluate --model good.pt --dataset critters --data critters --out out --eps 1 --radii 1,2",
    "evaluate --model good.pt --dataset critters --data critters --out out --constraint inf",
    "evaluate --model good.pt --dataset critters --data critters --out out --eps -1",
    "evaluate --model good.pt --dataset critters --data critters --out out --step-size -1",
    "evaluate --model good.pt --dataset critters --data critters --out out --batch-size 0",
    "evaluate --model good.pt --dataset critters --data critters --out out --n 1000",
    "evaluate --model good.pt --dataset critters --data critters --out text.txt",
    f"robustify {FIXED} --model good.pt",
    f"robustify {FIXED} --n 0",
    f"robustify {FIXED} --n 1000",
    f"robustify {FIXED} --start grey",
    f"robustify {FIXED} --kind nosuch",
    f"robustify {FIXED} --kind random --start noise",
    f"robustify {FIXED} --kind next --layer body",
    f"robustify {FIXED} --kind enhanced --start noise",
    f"robustify {FIXED} --shard-size 0",
    f"robustify {FIXED} --iterations 0",
    f"robustify {FIXED} --layer nosuch",
    f"robustify {FIXED} --device nosuch",
    f"robustify {FIXED} --out text.txt",
    f"robustify {FIXED} --out text.txt/out",
    f"robustify {FIXED} --out shards",
    "robustify --model good.pt --dataset cifar --out out",
    "evaluate --model good.pt --dataset webshards --out out",
    "evaluate --model good.pt --dataset webshards --data missing --out out",
    "evaluate --model good.pt --dataset webshards --data empty --out out",
    "evaluate --model good.pt --dataset webshards --data shards --out out",
    f"paper {PAPER} --quick --full",
    "paper --robust missing.pt --standard good.pt --dataset critters --data critters --out out",
    "paper --robust good.pt --standard good.pt --dataset cifar --out out",
    "paper --robust good.pt --standard good.pt --dataset nosuch --out out",
    f"paper {PAPER} --vgg missing.pt",
    f"paper {PAPER} --eps -1",
    f"paper {PAPER} --out text.txt",
    f"paper {PAPER} --device nosuch",
    "store check missing",
    "store check text.txt",
    "store check empty",
    "store rebuild missing",
    "store rebuild empty",
    "store merge missing --out out",
    "store merge empty --out out",
    "store merge empty --out empty",
    "demo --out text.txt",
    "demo --device nosuch",
    "demo --images nosuch.png",
    "demo --images cut.png",
    "demo --images a.png --data .",
    "demo --data text.txt",
    "scorecard --model good.pt --dataset critters --out out",
    "scorecard --model good.pt --against good.pt --dataset cifar --out out",
    f"scorecard {SCORECARD} --judge missing.pt",
    f"scorecard {SCORECARD} --seeds 1",
    f"scorecard {SCORECARD} --n 0",
    f"scorecard {SCORECARD} --n 1000",
    f"scorecard {SCORECARD} --out text.txt",
    f"pairs {FIXED} --n 0",
    f"pairs {FIXED} --n 20",
    f"pairs {FIXED} --layer nosuch",
    f"metamers {FIXED} --layers nosuch",
    f"metamers {FIXED} --layer body",
    f"metamers {FIXED} --layers body --pairs 0",
    f"metamers {FIXED} --layers body --judges missing.pt",
    "study missing",
    "study empty",
    "study results --kind nosuch",
    "study results --milliseconds 0",
    "study results --choices nosuch",
    f"invert {FIXED} --format gif",
    f"evaluate {FIXED} --width wide".replace(" --iterations 1", ""),
    f"paper {PAPER} --dpi 1",
    "explore --no-open --port 99999",
    "explore --no-open --model missing.pt",
    "explore --no-open --model good.pt",
    "explore --no-open --images nosuch.png",
    "explore --no-open --model critters-robust --n 0",
    "explore --no-open --out text.txt",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What the inputs name, and critters drawn once, few of them."""
    root = tmp_path_factory.mktemp("given")
    torch.manual_seed(0)
    for name, classes in (("good", 9), ("good10", 10), ("good1000", 1000)):
        network = ARCHITECTURES["critters_resnet"](num_classes=classes)
        torch.save(network.state_dict(), root / f"{name}.pt")
    torch.save([1, 2, 3], root / "numbers.pt")
    torch.save({"model": Path.cwd}, root / "code.pt")
    (root / "cut.pt").write_bytes((root / "good.pt").read_bytes()[:5000])
    (root / "broken.safetensors").write_bytes(b"\xff" * 64)
    (root / "empty.pt").write_bytes(b"")
    (root / "text.txt").write_text("a text")
    for name in ("critters", "empty", "shards"):
        (root / name).mkdir()
    (root / "shards" / "shard-000000.tar").write_bytes(b"")
    FEW_CRITTERS(str(root / "critters")).make_loaders(0, 1)
    write_plain_layout(root / "pictures", per_class=1, val_per_class=1, size=32)
    for image in (root / "pictures").rglob("*.png"):
        image.write_bytes(b"no picture")
    wnids = [some[0] for some in sub_classes().values()]
    for name, text in (("lists", "\n".join(wnids)), ("tiny", "\n".join(wnids)), ("odd", "cat")):
        (root / name).mkdir()
        (root / name / "wnids.txt").write_text(text)
        (root / name / "words.txt").write_text("".join(f"{one}\tan animal\n" for one in wnids))
    save(root / "tiny" / "val" / "images" / "val_0.JPEG", 100)
    (root / "tiny" / "val" / "val_annotations.txt").write_text(f"val_1.JPEG\t{wnids[0]}\t0\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(DATASETS, "critters", FEW_CRITTERS)
        patch.chdir(root)
        patch.setattr(
            "sys.argv", ["robust-reps", *shlex.split(f"invert {FIXED} --out results --n 2")]
        )
        with pytest.raises(SystemExit, match="0"):
            cli.main()
    return root


@pytest.fixture
def say(command, monkeypatch, folder):
    """Run `robust-reps` with a line of arguments; its status and what it says on stderr."""
    monkeypatch.setitem(DATASETS, "critters", FEW_CRITTERS)
    monkeypatch.chdir(folder)

    def run(line):
        status, _, told = command(*shlex.split(line))
        return status, told

    return run


@pytest.mark.parametrize(
    "line",
    [
        line if i % 12 == 0 else pytest.param(line, marks=pytest.mark.slow)
        for i, line in enumerate(INPUTS)
    ],
)
def test_input(say, folder, line):
    """One line says what is wrong, the status is 2, and nothing new is left on the disk."""
    before = set(folder.rglob("*"))
    try_input(say, folder, line)
    assert set(folder.rglob("*")) == before
    assert row(line) in DOCS.read_text("utf-8").splitlines()


def try_input(say, folder, line):
    status, said = say(line)
    shown = said.strip().splitlines()
    assert status == 2
    assert "Traceback" not in said
    assert str(folder) not in said
    gone_by = re.compile(rf"{BAR}|: \d+/\d+ images in \d+ s$")  # what ran before, in a pipe
    *above, message = [one for one in shown if one.strip() and not gone_by.search(one)]
    assert not above
    assert message.startswith("error: ")
    message = re.sub(r"-[0-9a-f]{8}\b", "-...", message.removeprefix("error: "))
    _found[line] = usage(message) if message.endswith("--help says more") else message


def usage(message: str) -> str:
    """Typer's words, as far as its releases agree."""
    said = re.sub(r"(Invalid value for '[^']+').*", r"\1", message)
    return f"*usage:* {said.partition('; ')[0]}"


def row(line):
    """What docs/errors.md should say of it."""
    shown = re.sub("|".join((FIXED, PAPER, SCORECARD)), "...", line)
    said = _found[line].replace("|", r"\|")
    return f"| `{shown}` | {said} | 2 |"


def test_every_command_is_given_bad_input():
    names = {one.name or one.callback.__name__ for one in cli.app.registered_commands}
    names |= {one.name for one in cli.app.registered_groups}
    assert names <= {line.split()[0] for line in INPUTS}


@pytest.mark.slow
def test_the_documentation_has_this_table(say, folder):
    """Whoever changes a message finds the table to put into docs/errors.md in the message."""
    for line in INPUTS:
        if line not in _found:
            try_input(say, folder, line)
    lines = ["| `robust-reps` | message | exit code |", "|---|---|---|"]
    table = "\n".join([*lines, *map(row, INPUTS)])
    assert table in DOCS.read_text("utf-8"), f"docs/errors.md should say\n{table}"
