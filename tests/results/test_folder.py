"""A folder of work: who may go on with it, who may begin it anew, and that nobody's files go."""

from __future__ import annotations

import pytest

from robust_reps_ext.results.folder import WorkFolder, read_json, remove, write_json
from robust_reps_ext.runtime.errors import InputError


def work_in(folder, settings, **given):
    kept = folder / "settings.json"

    def begin():
        remove(folder, folder.glob("*.json"))
        write_json(kept, settings)

    return WorkFolder(
        folder, settings, begun=lambda: {folder: read_json(kept)}, begin=begin, **given
    )


def units_in(folder):
    return [folder / f"{name}.json" for name in "ab"]


def test_what_is_finished_is_not_shared_again(tmp_path):
    folder = tmp_path / "new" / "folder"
    first, second = units_in(folder)
    for unit in work_in(folder, {"n": 1}).shared([first]):
        write_json(unit, {})
    assert list(work_in(folder, {"n": 1}).shared([first, second])) == [second]
    assert sorted(path.name for path in folder.glob("*.json")) == ["a.json", "settings.json"]


def test_other_settings_are_refused_in_one_line_or_begin_anew(tmp_path):
    work_in(tmp_path, {"n": 1, "model": {"name": "x", "eps": 3.0}})
    write_json(tmp_path / "a.json", {})
    other = {"n": 1, "model": {"name": "x", "eps": 1.5}, "seed": 2}
    with pytest.raises(InputError) as refused:
        work_in(tmp_path, other)
    assert str(refused.value) == (
        f"{tmp_path} was made with model.eps=3.0 (now 1.5), seed=None (now 2): give these again to "
        "go on, another --out, or --overwrite (overwrite=True) to remove it and begin anew"
    )
    work_in(tmp_path, other, overwrite=True)
    assert read_json(tmp_path / "settings.json") == other
    assert [path.name for path in tmp_path.iterdir()] == ["settings.json"]


def test_the_same_settings_go_on_whatever_is_allowed(tmp_path):
    settings = {"accuracy": float("nan"), "eps": float("inf")}
    work_in(tmp_path, settings)
    write_json(tmp_path / "a.json", {})
    work_in(tmp_path, settings, overwrite=True)
    assert (tmp_path / "a.json").exists()


def test_several_ranks_do_not_begin_anew(tmp_path, monkeypatch):
    work_in(tmp_path, {"n": 1})
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InputError, match="2 processes would remove each other's results"):
        work_in(tmp_path, {"n": 2}, overwrite=True)


def test_a_folder_that_is_worked_in_is_not_begun_anew(tmp_path):
    units = work_in(tmp_path, {"n": 1}).shared(units_in(tmp_path))
    write_json(next(units), {})
    next(units)
    with pytest.raises(InputError, match=f"another process works in {tmp_path}: wait until"):
        work_in(tmp_path, {"n": 2}, overwrite=True)
    assert read_json(tmp_path / "settings.json") == {"n": 1}
    assert (tmp_path / "a.json").exists()
    units.close()
    work_in(tmp_path, {"n": 2}, overwrite=True)
    assert not (tmp_path / "a.json").exists()


def test_a_call_ends_once_another_has_begun_anew(tmp_path):
    """What it made would be taken for something that was made with the other's settings."""
    late = work_in(tmp_path, {"n": 1})
    work_in(tmp_path, {"n": 2}, overwrite=True)
    with pytest.raises(InputError, match=r"was made with n=2 \(now 1\)"):
        next(late.shared(units_in(tmp_path)))
    (tmp_path / "settings.json").unlink()
    with pytest.raises(InputError, match="was begun anew: give another folder"):
        next(late.shared(units_in(tmp_path)))
    assert not list(tmp_path.glob("*.json"))


def test_damaged_settings_are_named(tmp_path):
    for text in ("{", "[]", "[" * 100_000):
        (tmp_path / "settings.json").write_text(text)
        with pytest.raises(InputError, match=r"settings\.json is damaged: .*; delete it"):
            work_in(tmp_path, {"n": 1})


def test_a_folder_that_cannot_be_is_refused(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match=r"cannot write to .*file/out: .*; give another folder"):
        work_in(tmp_path / "file" / "out", {"n": 1})
    assert (tmp_path / "file").read_text() == "mine"
