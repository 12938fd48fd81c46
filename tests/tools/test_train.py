"""The commands tools/train.py and tools/test.py, on a run of seconds."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mmengine
import pytest
import tiny_run
import torch
from mmengine.config import Config

from nda_mm.checkpoints import MismatchedCheckpointError
from nda_mm.compat import allow_safe_globals
from nda_mm.engine import launch
from tools import test, train

allow_safe_globals()  # the tests look into checkpoints themselves

ROOT = Path(__file__).resolve().parents[2]


pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture
def config_file(tmp_path: Path) -> Callable[..., str]:
    """Write the config of the small run; its work_dir is left to the command."""

    def write(name: str = "tiny.py", **settings: Any) -> str:
        cfg = tiny_run.make_config(tmp_path / "unused", **{"seed": None, **settings})
        for key in ("work_dir", "launcher"):
            cfg.pop(key, None)
        cfg["randomness"].pop("diff_rank_seed", None)
        Config(cfg).dump(tmp_path / name)
        return str(tmp_path / name)

    return write


def test_a_run_reports_budget_and_results(config_file: Any, capsys: pytest.CaptureFixture[str]) -> None:
    path = config_file(steps=6, validate=True)
    train.main([path, "--cfg-options", "log_level=INFO"])
    said = capsys.readouterr().out
    for expected in ("recipe    tiny.py", "budget    6 iterations", "last      work_dirs/tiny/iter_6.pth"):
        assert expected in said
    (log,) = Path("work_dirs/tiny").glob("*/*.log")
    assert "Config:\n" in log.read_text() and "Config:\n" not in said
    train.main([path, "--resume", "--cfg-options", "log_level=INFO", "train_cfg.max_iters=8"])
    assert "8 iterations, from iteration 6 on" in capsys.readouterr().out
    train.main([path, "--work-dir", "elsewhere", "--cfg-options", "val_cfg=None", "train_cfg.max_iters=1"])
    assert [path.name for path in Path("elsewhere").glob("*.pth")] == ["iter_1.pth"]
    assert "score: " not in capsys.readouterr().out


def test_a_recipe_of_ours_is_named_as_it_may_be_typed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("mmagic.models")
    options = ["log_level=INFO", "val_cfg=None", "train_cfg.max_iters=1"]
    train.main(["toy_gaussians", "--work-dir", str(tmp_path / "toy"), "--cfg-options", *options])
    said = capsys.readouterr().out
    assert "recipe    toy_gaussians (" in said
    assert "tools/test.py toy_gaussians " in said


@pytest.mark.slow
def test_resume_takes_nothing_or_a_path(config_file: Any, capsys: pytest.CaptureFixture[str]) -> None:
    whole = config_file("whole.py", steps=6, save_every=2)
    train.main([whole, "--seed", "5", "--resume"])
    assert "There is no checkpoint in work_dirs/whole" in capsys.readouterr().out
    expected = torch.load("work_dirs/whole/iter_6.pth", weights_only=True)["state_dict"]
    for resume in (["--resume"], ["--resume", "work_dirs/part/iter_2.pth"]):
        with pytest.raises(tiny_run.Interrupted):
            train.main([config_file("part.py", steps=6, save_every=2, stop_at=4), "--seed", "5"])
        part = config_file("part.py", steps=6, save_every=2)
        train.main([part, *resume])  # the seed is taken from the checkpoint
        found = torch.load("work_dirs/part/iter_6.pth", weights_only=True)["state_dict"]
        assert all(torch.equal(found[name], value) for name, value in expected.items())


def test_dry_run_tells_all_and_does_nothing(
    config_file: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = config_file(steps=2)
    train.main([path, "--dry-run", "--seed", "7", "--cfg-options", "model.spoil_at=99"])
    said = capsys.readouterr().out
    for expected in ("spoil_at=99", "torch ", " parameters", "seed         7", "float32", "start        starts anew"):
        assert expected in said, expected
    assert not (tmp_path / "work_dirs").exists()
    train.main([path, "--seed", "7"])
    capsys.readouterr()
    train.main([path, "--dry-run", "--resume"])
    assert "(iteration 2, epoch 0, seed 7)" in capsys.readouterr().out
    assert sum(path.is_dir() for path in (tmp_path / "work_dirs" / "tiny").iterdir()) == 1


def test_ranks_draw_their_own_numbers_unless_the_config_says_otherwise(config_file: Any) -> None:
    cfg = Config.fromfile(config_file())
    launch.set_seed(cfg, 3)
    assert cfg.randomness == dict(seed=3, diff_rank_seed=True)
    cfg.randomness = dict(seed=1, diff_rank_seed=False, deterministic=True)
    launch.set_seed(cfg, None)
    assert cfg.randomness == dict(seed=1, diff_rank_seed=False, deterministic=True)
    with pytest.raises(ValueError, match="--seed"):
        launch.set_seed(cfg, -1)


def test_amp_refuses_what_it_cannot_convert(config_file: Any) -> None:
    with pytest.raises(ValueError, match="AMP"):
        train.main([config_file(), "--amp"])  # this run's optimizers are built by a constructor of its own


@pytest.fixture
def tested(config_file: Any, tmp_path: Path) -> Callable[..., str]:
    """Write the config of the small run with what tools/test.py needs."""

    def write(**settings: Any) -> str:
        cfg = Config.fromfile(config_file(steps=2, validate=True, **settings))
        cfg.merge_from_dict({f"test_{key}": cfg[f"val_{key}"] for key in ("dataloader", "cfg", "evaluator")})
        cfg.dump(tmp_path / "tested.py")
        return str(tmp_path / "tested.py")

    return write


def test_test_prints_the_metrics(config_file: Any, tested: Any, capsys: pytest.CaptureFixture[str]) -> None:
    path, checkpoint = config_file(steps=2, validate=True), "work_dirs/tiny/iter_2.pth"
    train.main([path, "--seed", "1"])
    with pytest.raises(ValueError, match="test_dataloader, test_cfg and test_evaluator"):
        test.main([path, checkpoint])
    metrics = test.main([tested(), checkpoint, "--seed", "1", "--out", "found.pkl"])
    assert metrics["seen"] == 14.0 and f"score: {metrics['score']}" in capsys.readouterr().out
    assert len(mmengine.load("found.pkl")) == 14
    with pytest.raises(ValueError, match="--out"):
        test.main([tested(), checkpoint, "--out", "found.json"])


@pytest.mark.slow
def test_a_checkpoint_of_another_recipe_is_refused_unless_asked_for(tested: Any, tmp_path: Path) -> None:
    path = tested()
    train.main([path, "--seed", "1", "--work-dir", "first"])
    checkpoint = torch.load("first/iter_2.pth", weights_only=True)
    checkpoint["state_dict"] = {
        name.replace("critic.", "judge."): value for name, value in checkpoint["state_dict"].items()
    }
    torch.save(checkpoint, "other.pth")
    commands = [
        (test.main, [path, "other.pth"]),
        (train.main, [path, "--cfg-options", "load_from=other.pth"]),
        (train.main, [path, "--resume", "other.pth", "--cfg-options", "train_cfg.max_iters=4"]),
    ]
    for main, arguments in commands:
        with pytest.raises(MismatchedCheckpointError, match=r"other\.pth .*critic\.0.*judge\.0"):
            main(arguments)
    assert test.main([path, "other.pth", "--cfg-options", "load_strict=False"])["seen"] == 14.0
    train.main([path, "--cfg-options", "load_from=other.pth", "load_strict=False"])


@pytest.mark.slow
def test_a_run_with_averaged_weights_takes_its_own_checkpoint(tested: Any) -> None:
    path = tested(custom_hooks=(dict(type="EMAHook"),))
    train.main([path, "--work-dir", "run"])
    assert test.main([path, "run/iter_2.pth"])["seen"] == 14.0
    train.main([path, "--work-dir", "run", "--resume", "--cfg-options", "train_cfg.max_iters=4"])
    assert Path("run/iter_4.pth").is_file()


@pytest.mark.slow
def test_dist_train_runs_two_processes_on_a_cpu(config_file: Any, command: Callable[..., str]) -> None:
    wrapper = dict(type="MMSeparateDistributedDataParallel", broadcast_buffers=False)
    path = Path(config_file(steps=2, wrapper=wrapper))
    # The processes have to know the small run's parts.
    path.write_text(path.read_text() + "custom_imports = dict(imports=['tiny_run'])\n")
    command("dist_train.sh", str(path), "2", "--seed", "4")
    checkpoint = torch.load("work_dirs/tiny/iter_2.pth", weights_only=True)
    assert checkpoint["nda_mm_training"]["world_size"] == 2
    assert len(checkpoint["nda_mm_training"]["ranks"]) == 2
    # Named as one process names them, so that one process can load them.
    assert "generator.0.weight" in checkpoint["state_dict"]


def test_scripts_say_how_they_are_used() -> None:
    for script in ("dist_run.sh", "dist_train.sh", "dist_test.sh", "slurm_train.sh"):
        done, helped = (
            subprocess.run(["bash", str(ROOT / "tools" / script), *words], capture_output=True, text=True)
            for words in ([], ["--help"])
        )
        assert done.returncode == 2 and f"tools/{script} " in done.stderr
        assert (helped.returncode, helped.stdout, helped.stderr) == (0, done.stderr, "")
