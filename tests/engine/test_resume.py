"""The checkpoint to resume from, and the state that it holds."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import tiny_run
import torch

from nda_mm.checkpoints import BrokenCheckpointError
from nda_mm.engine import resume
from nda_mm.engine.resume import choose_checkpoint, find_resumable


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    cfg = tiny_run.make_config(tmp_path_factory.mktemp("trained") / "run", steps=4, save_every=1)
    tiny_run.train(cfg)
    return Path(cfg["work_dir"])


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A copy of a finished run, to be spoilt; moved, as a user may."""
    return Path(shutil.copytree(trained, tmp_path / "run"))


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    messages: list[str] = []
    monkeypatch.setattr(resume, "print_log", lambda message, **kwargs: messages.append(message))
    return messages


def test_a_truncated_checkpoint_is_named_and_skipped(run: Path, said: list[str]) -> None:
    newest = run / "iter_4.pth"
    newest.write_bytes(newest.read_bytes()[:-100])
    assert find_resumable(run) == str(run / "iter_3.pth")
    assert len(said) == 1
    assert "iter_4.pth" in said[0]


def test_only_what_can_be_resumed_is_found(run: Path, said: list[str], tmp_path: Path) -> None:
    shutil.copy(run / "iter_4.pth", run / "best_score_iter_9.pth")
    torch.save({"state_dict": {}}, run / "published_8.pth")
    assert find_resumable(run) == str(run / "iter_4.pth")
    assert "published_8.pth" in said[0]
    assert find_resumable(tmp_path / "nowhere") is None


def test_a_damaged_record_is_named_and_skipped(run: Path, said: list[str]) -> None:
    (run / "loop.pth").symlink_to("loop.pth")
    for content in (b"\0" * 9, b"\xff\xfe\xfa.pth", b"", b"elsewhere/iter_9.pth", b"loop.pth"):
        (run / "last_checkpoint").write_bytes(content)
        said.clear()
        assert find_resumable(run) == str(run / "iter_4.pth")
        assert len(said) == 1 and "last_checkpoint" in said[0]
    with pytest.raises(FileNotFoundError, match=r"loop\.pth.*iter_4\.pth"):
        choose_checkpoint(run, str(run / "loop.pth"))


def test_the_order_of_candidates(run: Path) -> None:
    # Killed between the checkpoint and the record of it: the checkpoint is newer, and counts.
    (run / "last_checkpoint").write_text(str(run / "iter_3.pth"))
    later = (run / "last_checkpoint").stat().st_mtime + 5
    os.utime(run / "iter_4.pth", (later, later))
    assert find_resumable(run) == str(run / "iter_4.pth")
    # Gone back to iteration 2 by hand, and trained to 3: iteration 4 belongs to a course given up.
    os.utime(run / "iter_4.pth", (1, 1))
    assert find_resumable(run) == str(run / "iter_3.pth")
    # Without a record, the latest step counts, as a number.
    (run / "last_checkpoint").unlink()
    shutil.copy(run / "iter_2.pth", run / "iter_10.pth")
    os.utime(run / "iter_10.pth", (1, 1))
    assert find_resumable(run) == str(run / "iter_10.pth")


def test_checkpoints_may_lie_in_another_folder(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work_dir = tmp_path / "work_dir"
    work_dir.mkdir()
    (work_dir / "last_checkpoint").write_text(str(run / "iter_3.pth"))
    assert find_resumable(work_dir) == str(run / "iter_3.pth")
    # A damaged record must not lead to the current folder.
    (work_dir / "last_checkpoint").write_bytes(b"")
    monkeypatch.chdir(run)
    assert find_resumable(work_dir) is None


def test_a_path_that_cannot_be_resumed_names_one_that_can(run: Path, tmp_path: Path) -> None:
    assert choose_checkpoint(run, str(run / "iter_2.pth")) == str(run / "iter_2.pth")
    (run / "iter_4.pth").write_bytes(b"PK")
    with pytest.raises(BrokenCheckpointError, match=r"iter_4\.pth.*iter_3\.pth"):
        choose_checkpoint(run, str(run / "iter_4.pth"))
    with pytest.raises(FileNotFoundError, match=r"iter_7\.pth.*iter_3\.pth"):
        choose_checkpoint(run, str(run / "iter_7.pth"))
    with pytest.raises(FileNotFoundError, match="There is no good one in"):
        choose_checkpoint(run, str(tmp_path / "nowhere" / "iter_1.pth"))
