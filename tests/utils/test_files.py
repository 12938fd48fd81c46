"""Links to folders overwrite nothing. (Atomic writes: tests/test_checkpoints.py.)"""

from __future__ import annotations

import pytest

from nda_mm.utils.files import link_folder


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
