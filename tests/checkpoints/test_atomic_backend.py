"""Files that are whole or untouched."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from mmengine.fileio import get_file_backend

from nda_mm.checkpoints.atomic_backend import AtomicLocalBackend


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_mmengine_finds_it_by_name(tmp_path: Path) -> None:
    backend = get_file_backend(str(tmp_path), backend_args={"backend": "nda_mm_atomic"})
    assert isinstance(backend, AtomicLocalBackend)
    backend.put(b"new", tmp_path / "deep" / "file.pth")
    assert (tmp_path / "deep" / "file.pth").read_bytes() == b"new"


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file.pth"
    backend = AtomicLocalBackend()
    backend.put(b"old", path)
    with files_up_to(1000), pytest.raises(OSError, match=r"5,000 bytes are needed, [\d,]+ are free.*file\.pth"):
        backend.put(b"x" * 5000, path)
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file.pth"]


def test_leftovers_are_swept_and_only_they(tmp_path: Path) -> None:
    for name in (".iter_1.pth.77.unfinished", "iter_1.pth", ".hidden"):
        (tmp_path / name).touch()
    assert [path.name for path in AtomicLocalBackend.remove_unfinished(tmp_path)] == [".iter_1.pth.77.unfinished"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [".hidden", "iter_1.pth"]
