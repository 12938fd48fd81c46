"""Files and folders come to their place whole, and overwrite nothing."""

from __future__ import annotations

import pytest

import nda_mm.utils.files as module
from nda_mm.utils.files import link_folder, write_text_atomically


def test_a_text_is_the_old_one_or_the_new_one(tmp_path, monkeypatch):
    path = tmp_path / "new" / "list.txt"
    write_text_atomically(path, "old\n")
    assert oct(path.stat().st_mode & 0o777) == "0o644"

    def fail(*args):
        raise OSError("the disk is full")

    monkeypatch.setattr(module.os, "replace", fail)
    with pytest.raises(OSError, match="the disk is full"):
        write_text_atomically(path, "new\n")
    assert path.read_text() == "old\n"
    assert [entry.name for entry in path.parent.iterdir()] == ["list.txt"]


def test_a_link_overwrites_nothing(tmp_path):
    folder, other, link = tmp_path / "images", tmp_path / "others", tmp_path / "data" / "set"
    for each in (folder, other):
        each.mkdir()
    for _ in range(2):  # the second time it is there already
        link_folder(folder, link)
        assert link.resolve() == folder
    with pytest.raises(FileExistsError, match="exists and is not"):
        link_folder(other, link)
    assert link.resolve() == folder
    link_folder(folder, folder)
    assert not folder.is_symlink()
