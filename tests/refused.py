"""What upstream refuses: each function here ends in an error, with upstream as with us.

Run as a program, in a process in which nothing is mended, it prints what upstream raises.
"""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from pathlib import Path

from upstream_calls import (
    attack,
    configuration,
    loaders,
    model,
    network,
    pictures,
    setup,
    store,
    table,
    training,
    weights,
)

REFUSED = {}


def refused(function):
    """Take a function of (a folder to write in) into the table."""
    REFUSED[function.__name__] = function
    return function


@refused
def weights_of_another_number_of_classes(folder):
    state = model(folder, classes=10)[0].state_dict()
    state = {f"module.{name}": value for name, value in state.items()}
    model(folder, classes=4, resume_path=weights(folder, {"model": state, "epoch": 1}))


@refused
def weights_of_another_network(folder):
    state = model(folder, name="vgg11")[0].state_dict()
    state = {f"module.{name}": value for name, value in state.items()}
    model(folder, resume_path=weights(folder, {"model": state, "epoch": 1}))


@refused
def an_empty_checkpoint(folder):
    path = Path(folder, "empty.pt")
    path.write_bytes(b"")
    model(folder, resume_path=str(path))


@refused
def a_checkpoint_that_is_cut(folder):
    path = Path(weights(folder, {"model": {}, "epoch": 1}))
    path.write_bytes(path.read_bytes()[:500])
    model(folder, resume_path=str(path))


@refused
def a_checkpoint_that_is_a_text(folder):
    path = Path(folder, "text.pt")
    path.write_text("no weights")
    model(folder, resume_path=str(path))


@refused
def weights_that_were_never_published(folder):
    from robustness.datasets import ImageNet

    ImageNet(str(folder)).get_model("wide_resnet50_3", True)


@refused
def a_layer_that_does_not_run(folder):
    import torch
    from robustness.model_utils import FeatureExtractor

    extractor = FeatureExtractor(torch.nn.Identity(), [lambda model: torch.nn.Identity()])
    extractor(torch.zeros(1))


@refused
def a_custom_imagenet_without_a_grouping(folder):
    from robustness.datasets import CustomImageNet

    CustomImageNet(str(folder))


@refused
def a_transform_that_is_a_number(folder):
    from robustness.datasets import CIFAR

    CIFAR(str(folder), transform_train=3)


@refused
def a_data_set_with_an_unknown_argument(folder):
    from robustness.datasets import DataSet

    DataSet("mine", str(folder), colours=3)


@refused
def no_such_data_set(folder):
    from robustness.datasets import DATASETS

    DATASETS["nosuch"]


@refused
def a_folder_without_training_images(folder):
    Path(folder, "val", "n01440764").mkdir(parents=True)
    loaders(folder)


@refused
def class_folders_without_images(folder):
    for split in ("train", "val"):
        Path(folder, split, "n01440764").mkdir(parents=True)
    loaders(folder)


@refused
def no_class_folders(folder):
    for split in ("train", "val"):
        Path(folder, split).mkdir()
    loaders(folder)


@refused
def a_file_for_a_folder_of_images(folder):
    Path(folder, "val").write_text("")
    loaders(folder, only_val=True)


@refused
def batches_of_nothing(folder):
    pictures(folder)
    loaders(folder, batch_size=0)


@refused
def fewer_than_no_workers(folder):
    pictures(folder)
    loaders(folder, workers=-1)


@refused
def a_picture_that_is_none(folder):
    pictures(folder)
    Path(folder, "val", "n01440764", "a.png").write_text("no picture")
    next(iter(loaders(folder, only_val=True)[1]))


@refused
def a_picture_that_is_none_in_a_worker(folder):
    pictures(folder)
    Path(folder, "val", "n01440764", "a.png").write_text("no picture")
    next(iter(loaders(folder, workers=1, only_val=True)[1]))


@refused
def a_picture_that_is_gone(folder):
    pictures(folder)
    loader = loaders(folder, only_val=True)[1]
    Path(folder, "val", "n01440764", "a.png").unlink()
    next(iter(loader))


@refused
def images_that_cannot_be_fetched(folder):
    from robustness.datasets import CIFAR

    CIFAR(str(folder)).make_loaders(0, 1)


@refused
def an_attack_without_a_target(folder):
    found, images, _ = network()
    found(images, make_adv=True, constraint="2", eps=1.0, step_size=1.0, iterations=1)


@refused
def both_ways_around_the_relu(folder):
    found, images, _ = network()
    found(images, with_latent=True, no_relu=True, fake_relu=True)


@refused
def a_model_that_is_parallel_already(folder):
    import torch

    training(folder, wrap=torch.nn.DataParallel)


@refused
def an_optimizer_of_another_model(folder):
    import torch

    other = torch.optim.SGD(torch.nn.Conv2d(3, 3, 3).parameters(), 0.1, momentum=0.9)
    other.add_param_group({"params": [torch.nn.Parameter(torch.zeros(1))]})
    training(folder, checkpoint={"epoch": 0, "optimizer": other.state_dict()})


@refused
def a_folder_that_cannot_be_made(folder):
    Path(folder, "file").write_text("")
    training(folder, out_dir=str(Path(folder, "file", "runs")))


@refused
def evaluating_without_being_told_how(folder):
    from robustness.train import eval_model

    found, *_ = network()
    eval_model(Namespace(adv_train=0, adv_eval=None), found, [], store=None)


@refused
def a_required_option(folder):
    from robustness.datasets import CIFAR
    from robustness.defaults import TRAINING_ARGS, check_and_fill_args

    check_and_fill_args(Namespace(), TRAINING_ARGS, CIFAR)


@refused
def a_data_set_without_defaults(folder):
    from robustness.datasets import DataSet
    from robustness.defaults import BY_DATASET, check_and_fill_args

    check_and_fill_args(Namespace(), [["epochs", int, "", BY_DATASET]], DataSet)


@refused
def a_configuration_that_does_not_match(folder):
    from cox.utils import Parameters, override_json

    override_json(Parameters({"b": 1}), configuration(folder, b'{"a": 1}'), True)


@refused
def a_parameter_given_twice(folder):
    from cox.utils import Parameters

    Parameters({"eps": 1, "EPS": 2})


@refused
def a_store_that_is_there_already(folder):
    store(folder, "one").close()
    store(folder, "one", new=True)


@refused
def a_store_in_a_file(folder):
    Path(folder, "file").write_text("")
    store(Path(folder, "file"), "one")


@refused
def a_collection_that_is_not_there(folder):
    from cox.readers import CollectionReader

    CollectionReader(str(Path(folder, "missing")))


@refused
def a_table_that_no_store_has(folder):
    from cox.readers import CollectionReader

    store(folder, "one").close()
    CollectionReader(str(folder)).df("nosuch")


@refused
def a_column_that_metadata_lack(folder):
    import pandas
    from robustness.tools.vis_tools import filter_data

    filter_data(pandas.DataFrame({"exp_id": ["a"]}), ["eps"], [1])


REFUSED |= {
    "a_checkpoint_without_weights": lambda folder: model(
        folder, resume_path=weights(folder, {"epoch": 1})
    ),
    "no_such_checkpoint": lambda folder: model(folder, resume_path=str(Path(folder, "missing.pt"))),
    "a_folder_as_a_checkpoint": lambda folder: model(folder, resume_path=str(folder)),
    "a_flag_as_a_checkpoint": lambda folder: model(folder, resume_path=True),
    "no_such_architecture": lambda folder: model(folder, name="resnet5"),
    "an_architecture_that_is_a_module": lambda folder: model(folder, name="resnet"),
    "torchvisions_weights_for_cifar": lambda folder: model(folder, pytorch_pretrained=True),
    "no_folder_of_images": lambda folder: loaders(Path(folder, "missing")),
    "no_such_constraint": lambda folder: attack(constraint="3"),
    "a_constraint_that_is_a_number": lambda folder: attack(constraint=7),
    "eps_as_a_text": lambda folder: attack(eps="1"),
    "iterations_as_a_fraction": lambda folder: attack(iterations=1.5),
    "a_loss_of_all_images": lambda folder: attack(
        custom_loss=lambda model, x, target: (model(x).sum(), None)
    ),
    "a_loss_of_too_many_values": lambda folder: attack(
        custom_loss=lambda model, x, target: (model(x).flatten(), None)
    ),
    "training_without_a_learning_rate": lambda folder: training(folder, lr=KeyError),
    "training_without_epochs_given": lambda folder: training(folder, epochs=None),
    "training_against_nobody": lambda folder: training(folder, adv_train=1, constraint=None),
    "arguments_without_an_evaluation": lambda folder: training(
        folder, adv_train=0, adv_eval=1, use_best=KeyError
    ),
    "a_loss_of_ones_own_without_the_adversarys": lambda folder: training(
        folder, adv_train=1, custom_train_loss=len
    ),
    "epochs_as_a_fraction": lambda folder: training(folder, epochs=1.5),
    "a_negative_learning_rate": lambda folder: training(folder, lr=-1.0),
    "a_learning_rate_that_is_a_word": lambda folder: training(folder, lr="fast"),
    "momentum_in_a_list": lambda folder: training(folder, momentum=[0.9]),
    "a_checkpoint_without_an_optimizer": lambda folder: training(
        folder, checkpoint={"epoch": 0, "model": {}}
    ),
    "a_schedule_that_is_no_pairs": lambda folder: training(folder, custom_lr_multiplier=[1, 2]),
    "a_command_without_a_data_set": lambda folder: setup(dataset=None),
    "a_command_with_another_data_set": lambda folder: setup(dataset="nosuch"),
    "an_evaluation_of_no_model": lambda folder: setup(eval_only=1, arch="resnet18", adv_eval=0),
    "a_configuration_that_is_missing": lambda folder: setup(
        config_path=str(Path(folder, "missing.json"))
    ),
    "a_configuration_that_is_no_json": lambda folder: setup(
        config_path=configuration(folder, b"{")
    ),
    "a_configuration_that_is_no_text": lambda folder: setup(
        config_path=configuration(folder, b'{"a": "\xff\xfe"}')
    ),
    "a_configuration_that_is_a_list": lambda folder: setup(
        config_path=configuration(folder, b"[]")
    ),
    "a_store_that_is_not_there": lambda folder: store(folder, "missing", mode="r"),
    "a_row_with_an_unknown_column": lambda folder: table(folder).append_row(
        {"a": 1, "b": 2, "c": 3}
    ),
    "a_row_that_lacks_a_column": lambda folder: table(folder).append_row({"a": 1}),
    "no_such_table": lambda folder: store(folder, "one")["nosuch"],
}


def raised(name, folder):
    """What a refusal raises; None where it is none."""
    try:
        REFUSED[name](folder)
    except Exception as error:
        return error
    return None


if __name__ == "__main__":
    import contextlib
    import importlib
    import io
    import tempfile
    import warnings

    import torch

    warnings.simplefilter("ignore")
    ours = "robust_reps_ext.upstream.mends.torchvision_models_utils"
    sys.modules["torchvision.models.utils"] = importlib.import_module(ours)
    torch.Tensor.cuda = torch.nn.Module.cuda = lambda self, *_, **__: self
    told = {}
    for name in REFUSED:
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
            error = raised(name, Path(folder))
        told[name] = [f"{kind.__module__}:{kind.__qualname__}" for kind in type(error).__mro__]
        told[name].append(str(error)[:80])
    print(json.dumps(told))
