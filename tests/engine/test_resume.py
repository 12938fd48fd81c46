"""The checkpoint to resume from, and the state that it holds."""

from __future__ import annotations

import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny_run
import torch
from tiny_run import assert_equal

from nda_mm.checkpoints import BrokenCheckpointError, read_checkpoint
from nda_mm.engine import resume
from nda_mm.engine.resume import (
    TRAINING_STATE,
    choose_checkpoint,
    find_resumable,
    load_rank_state,
    rank_state,
)

Make = Callable[..., dict[str, Any]]


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


class Evil:
    """Runs code when it is unpickled without care."""

    def __init__(self, target: Path) -> None:
        self.target = str(target)

    def __reduce__(self) -> Any:
        return os.mkdir, (self.target,)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.999])
def test_a_truncated_checkpoint_is_named_and_skipped(run: Path, said: list[str], share: float) -> None:
    newest = run / "iter_4.pth"
    content = newest.read_bytes()
    newest.write_bytes(content[: int(share * len(content))])
    assert find_resumable(run) == str(run / "iter_3.pth")
    assert len(said) == 1
    assert "iter_4.pth" in said[0]


def test_an_altered_checkpoint_is_found_by_its_checksum(run: Path, said: list[str]) -> None:
    newest = run / "iter_4.pth"
    weight = torch.load(newest, weights_only=True)["state_dict"]["critic.layers.0.weight"].numpy().tobytes()
    content = bytearray(newest.read_bytes())
    content[content.index(weight) + 5] ^= 1
    newest.write_bytes(content)
    assert find_resumable(run) == str(run / "iter_3.pth")
    assert "iter_4.pth was altered" in said[0]


def test_a_checkpoint_never_runs_code(run: Path, said: list[str]) -> None:
    for name, save in (
        ("iter_5.pth", torch.save),
        ("iter_6.pth", lambda obj, path: path.write_bytes(pickle.dumps(obj))),
    ):
        target = run / f"made_by_{name}"
        save({"meta": Evil(target), "state_dict": {}, "message_hub": {}, "optimizer": {}}, run / name)
        with pytest.raises(BrokenCheckpointError, match=name):
            read_checkpoint(run / name)
        assert find_resumable(run) == str(run / "iter_4.pth")
        assert not target.exists()
    # The Runner itself, asked to load it, refuses too.
    runner = tiny_run.build(tiny_run.make_config(run, steps=8))
    with pytest.raises(BrokenCheckpointError):
        runner.resume(str(run / "iter_5.pth"))
    assert not (run / "made_by_iter_5.pth").exists()


def test_only_what_can_be_resumed_is_found(run: Path, said: list[str], tmp_path: Path) -> None:
    shutil.copy(run / "iter_4.pth", run / "best_score_iter_9.pth")
    torch.save({"state_dict": {}}, run / "published_8.pth")
    assert find_resumable(run) == str(run / "iter_4.pth")
    assert "published_8.pth" in said[0]
    assert find_resumable(tmp_path / "nowhere") is None


@pytest.mark.parametrize("content", [b"iter_\0.pth", b"\xff\xfe\xfa.pth", b"", b"elsewhere/iter_9.pth", b"loop.pth"])
def test_a_damaged_record_is_named_and_skipped(run: Path, said: list[str], content: bytes) -> None:
    (run / "loop.pth").symlink_to("loop.pth")
    (run / "last_checkpoint").write_bytes(content)
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
    assert find_resumable(run) == str(run / "iter_10.pth")


def test_a_path_that_cannot_be_resumed_names_one_that_can(run: Path, tmp_path: Path) -> None:
    assert choose_checkpoint(run, str(run / "iter_2.pth")) == str(run / "iter_2.pth")
    (run / "iter_4.pth").write_bytes(b"PK")
    with pytest.raises(BrokenCheckpointError, match=r"iter_4\.pth.*iter_3\.pth"):
        choose_checkpoint(run, str(run / "iter_4.pth"))
    with pytest.raises(FileNotFoundError, match=r"iter_7\.pth.*iter_3\.pth"):
        choose_checkpoint(run, str(run / "iter_7.pth"))
    with pytest.raises(FileNotFoundError, match="There is no good one in"):
        choose_checkpoint(run, str(tmp_path / "nowhere" / "iter_1.pth"))


def test_a_run_whose_newest_checkpoint_is_truncated_still_ends_in_the_same_weights(config: Make) -> None:
    straight = tiny_run.train(config("straight", steps=6))
    stopped = config("stopped", steps=6, save_every=1, stop_at=4)
    tiny_run.train(stopped)
    newest = Path(stopped["work_dir"]) / "iter_4.pth"
    newest.write_bytes(newest.read_bytes()[:-1000])
    resumed = tiny_run.train({**stopped, "custom_hooks": []}, resume=True)
    assert_equal(tiny_run.weights(resumed), tiny_run.weights(straight))


def test_accumulated_gradients_and_counts_return(config: Make, tmp_path: Path) -> None:
    runner = tiny_run.train(config(accumulate=2, stop_at=3))
    state = rank_state(runner)
    assert state["inner_counts"] == {"generator": 3, "critic": 3}
    assert set(state["gradients"]) == {name for name, _ in runner.model.named_parameters()}

    torch.save(state, tmp_path / "state.pt")
    loaded = torch.load(tmp_path / "state.pt", weights_only=True)
    other = tiny_run.build(config("other", accumulate=2))
    other.optim_wrapper = other.build_optim_wrapper(other.optim_wrapper)
    load_rank_state(other, {**loaded, "buffers": {}})
    for (name, ours), (_, theirs) in zip(other.model.named_parameters(), runner.model.named_parameters()):
        assert torch.equal(ours.grad, theirs.grad), name  # type: ignore[arg-type]
    assert other.optim_wrapper["critic"].inner_count == 3


def test_gradients_that_have_been_used_are_not_kept(config: Make) -> None:
    cfg = config(accumulate=2, stop_at=4)
    tiny_run.train(cfg)
    checkpoint = torch.load(Path(cfg["work_dir"]) / "iter_4.pth", weights_only=True)
    (own,) = checkpoint[TRAINING_STATE]["ranks"]
    assert own["gradients"] == {}
