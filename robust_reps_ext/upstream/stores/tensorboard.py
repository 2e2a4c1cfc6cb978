"""Tensorboard on a directory of experiments, started without a shell."""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import shlex
import subprocess
import sys
from typing import Any

from ...runtime.errors import InputError

__all__ = ["command", "main"]


def command(
    logdir: str,
    format_str: str,
    *,
    port: int = 6006,
    metadata_table: str = "metadata",
    filters: dict[str, str] | None = None,
) -> list[str]:
    """The arguments that start tensorboard on the experiments of `logdir`, each by its name.

    Parameters
    ----------
    logdir
        Directory of the experiments.
    format_str
        Name of an experiment, with its metadata in braces: ``"lr-{lr}"``. The experiment's id
        is put behind it.
    port
        Where tensorboard listens.
    metadata_table
        The table that holds the metadata.
    filters
        Regular expressions that the metadata of an experiment must match, by parameter.

    Raises
    ------
    InputError
        If a name in `format_str` or `filters` is not in the metadata.
    """
    from cox.readers import CollectionReader
    from cox.utils import has_tensorboard

    reader = CollectionReader(logdir)
    try:
        metadata = reader.df(metadata_table)
    finally:
        reader.close()
    unknown = sorted((filters or {}).keys() - set(metadata.columns))
    if unknown:
        raise InputError(f"no parameter {', '.join(unknown)}: {_known(metadata)}")
    rules = {name: _pattern(name, rule) for name, rule in (filters or {}).items()}
    names = []
    for exp_id in sorted(os.listdir(logdir)):
        directory = os.path.join(logdir, exp_id)
        if not has_tensorboard(directory):
            continue
        rows = metadata[metadata["exp_id"] == exp_id].to_dict("records")
        if not rows:
            print(f"Warning: Skipping experiment {exp_id}")
            continue
        if all(rule.match(str(rows[0][name])) for name, rule in rules.items()):
            values = {name: _text(value) for name, value in rows[0].items()}
            try:
                label = f"{format_str.format(**values)}---{exp_id}"
            except (KeyError, IndexError, AttributeError, ValueError) as error:
                raise InputError(
                    f"--format-str {format_str!r} cannot be filled in ({error}): {_known(metadata)}"
                ) from None
            # A colon ends a name for tensorboard, and a comma the whole entry.
            names.append(f"{re.sub('[:,]', '_', label)}:{directory}")
    return [
        *(sys.executable, "-m", "tensorboard.main"),
        *("--logdir_spec", ",".join(names)),
        *("--port", str(port)),
    ]


def _text(value: Any) -> Any:
    return ".".join(map(str, value)) if isinstance(value, list) else value


def _pattern(name: str, rule: str) -> re.Pattern[str]:
    try:
        return re.compile(rule)
    except re.error as error:
        raise InputError(
            f"--filter-param {name} {rule!r} is no regular expression ({error}): write \\ before "
            "signs that stand for themselves"
        ) from None


def _known(metadata: Any) -> str:
    return f"the parameters are {', '.join(map(str, metadata.columns))}"


def main() -> None:
    """Start tensorboard on a directory of experiments, as the command line asks."""
    parser = argparse.ArgumentParser(
        description="Start tensorboard with each experiment named by its metadata."
    )
    parser.add_argument("--logdir", required=True, help="directory of the experiments")
    parser.add_argument("--port", type=int, default=6006, help="port of tensorboard")
    parser.add_argument("--metadata-table", default="metadata", help="name of the metadata table")
    parser.add_argument(
        "--format-str", required=True, help="name of an experiment, such as 'lr-{lr}'"
    )
    parser.add_argument(
        "--filter-param",
        action="append",
        nargs=2,
        default=[],
        metavar=("PARAMETER", "REGEX"),
        help="show only experiments whose parameter matches",
    )
    args = parser.parse_args()
    try:
        arguments = command(
            args.logdir,
            args.format_str,
            port=args.port,
            metadata_table=args.metadata_table,
            filters=dict(args.filter_param),
        )
    except InputError as error:
        parser.error(str(error))
    if importlib.util.find_spec("tensorboard") is None:
        parser.error("tensorboard is not installed: pip install tensorboard")
    print(f"Running {shlex.join(arguments)}")
    sys.exit(subprocess.run(arguments, check=False).returncode)
