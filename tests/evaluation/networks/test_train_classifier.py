"""The shipped classifier recipes: trained once when asked for, good enough to judge with, never half written."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from filelock import FileLock
from mmengine.config import Config
from mmengine.registry import DefaultScope

from nda_mm.compat import apply_patches
from nda_mm.datasets import Digits
from nda_mm.evaluation.networks import build_feature_network, train_classifier
from nda_mm.evaluation.networks.train_classifier import cached_checkpoint, ensure_checkpoint, to_be_trained
from nda_mm.utils.files import recipe_path

apply_patches()
pytest.importorskip("mmpretrain.models")
pytest.importorskip("sklearn")

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    return ensure_checkpoint("classifier_digits.py", str(tmp_path_factory.mktemp("cache")))


def network(checkpoint: Path, **kwargs):
    return build_feature_network(
        dict(type="mmpretrain", config="classifier_digits.py", checkpoint=str(checkpoint), **kwargs)
    )


def visible(folder: Path) -> list[Path]:
    """What is in a cache besides its lock."""
    return [path for path in folder.iterdir() if not path.name.startswith(".")]


@pytest.mark.slow
def test_the_digits_network_is_trained_once_and_reads_97_percent_of_held_out_images(checkpoint, monkeypatch):
    monkeypatch.setattr(train_classifier.subprocess, "Popen", lambda *args, **kwargs: pytest.fail("trained again"))
    assert ensure_checkpoint("classifier_digits.py", str(checkpoint.parent)) == checkpoint
    assert visible(checkpoint.parent) == [checkpoint]  # no parts are left behind
    with DefaultScope.overwrite_default_scope("mmagic"):
        judge = network(checkpoint)
        assert DefaultScope.get_current_instance().scope_name == "mmagic"  # that of the training run
    for side in (16, 32):  # images of another size are resized
        digits = Digits(split="test", size=side)
        result = judge(torch.from_numpy(digits.images).permute(0, 3, 1, 2))
        accuracy = (result.probabilities.argmax(1) == torch.from_numpy(digits.labels)).double().mean().item()
        assert accuracy >= 0.97
        if side == 16:
            assert judge.accuracy == pytest.approx(100 * accuracy, abs=1e-3)  # what mmpretrain's own evaluation said
    # Features are what the last layer reads.
    assert result.features.shape == (445, 64) and not result.features.requires_grad
    torch.testing.assert_close(result.probabilities, judge.model.head.fc(result.features).softmax(1))


@pytest.mark.slow
def test_runs_wait_for_the_one_that_trains_and_take_what_it_trained(tmp_path):
    target = cached_checkpoint(recipe_path("classifier_digits.py"), str(tmp_path))
    arguments = ("classifier_digits.py", str(tmp_path))
    code = f"from {train_classifier.__name__} import ensure_checkpoint; print(ensure_checkpoint(*{arguments}))"
    command = [sys.executable, "-W", "ignore", "-c", code]
    pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    with FileLock(tmp_path / ".lock"):
        runs = [subprocess.Popen(command, env=ENVIRONMENT, **pipes) for _ in range(2)]
        for run in runs:
            assert any("Waiting for another run" in line for line in run.stdout)
        target.write_bytes(b"weights")
    assert [run.communicate()[0] for run in runs] == [f"{target}\n"] * 2  # neither says that it trains
    assert visible(tmp_path) == [target]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_it_shows_its_progress_and_ends_with_its_parent(tmp_path, number):
    psutil = pytest.importorskip("psutil")
    recipe = tmp_path / "probe.py"
    text = recipe_path("classifier_digits.py").read_text().replace("max_epochs = 12", "max_epochs = 10_000")
    recipe.write_text(text.replace("num_workers=0", "num_workers=2", 1))
    code = f"from {train_classifier.__name__} import ensure_checkpoint; ensure_checkpoint({str(recipe)!r}, 'cache')"
    command = [sys.executable, "-W", "ignore", "-c", code]
    parent = subprocess.Popen(command, cwd=tmp_path, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True)
    assert any(
        re.match(r"training probe: \d+ of [\d,]+ iterations, \S+ a second, .* left$", line) for line in parent.stderr
    )
    children = psutil.Process(parent.pid).children(recursive=True)
    assert len(children) == 3  # the training and its loader's two
    parent.send_signal(number)
    assert parent.wait() == (128 + number if number == signal.SIGTERM else -number)
    _, alive = psutil.wait_procs(children, timeout=120)
    assert alive == []
    assert visible(tmp_path / "cache") == []
    assert not any(path.is_dir() for path in (tmp_path / "cache").iterdir())  # the unfinished one's files went, too


def test_what_will_be_trained_is_known_before(tmp_path):
    network = dict(type="mmpretrain", config="classifier_digits.py", train_if_missing=True)
    evaluator = dict(metrics=[dict(type="nda_mm.FrechetDistance", network=network), dict(network=network)])
    assert to_be_trained(evaluator, str(tmp_path)) == ["classifier_digits.py (12 epochs)"]
    assert to_be_trained(dict(network=dict(network, checkpoint="there.pth")), str(tmp_path)) == []
    cached_checkpoint(recipe_path("classifier_digits.py"), str(tmp_path)).touch()
    assert to_be_trained(evaluator, str(tmp_path)) == []


@pytest.mark.slow
def test_cifar10s_last_checkpoint_is_a_network_of_the_metrics_also_in_mixed_precision(tmp_path, monkeypatch):
    from PIL import Image

    from nda_mm.datasets import CIFAR10
    from nda_mm.engine import launch
    from tools.train import parse_args

    for folder in (
        tmp_path / "cifar10" / split / name for split in ("train", "test") for name in CIFAR10.METAINFO["classes"]
    ):
        folder.mkdir(parents=True)
        for number in range(2):
            Image.effect_noise((32, 32), 50 + number).convert("RGB").save(folder / f"{number}.png")
    narrow = {"model.backbone.base_channels": 8, "model.backbone.stem_channels": 8, "model.head.in_channels": 64}
    options = dict(narrow, **{"train_cfg.max_epochs": 3, "train_dataloader.batch_size": 10})
    for loader in ("train_dataloader", "val_dataloader"):
        options |= {f"{loader}.dataset.data_root": str(tmp_path / "cifar10"), f"{loader}.dataset.allow_partial": True}
        options |= {f"{loader}.num_workers": 0, f"{loader}.persistent_workers": False}
    monkeypatch.chdir(tmp_path)
    words = [str(recipe_path("classifier_cifar10.py")), "--amp", "--work-dir", "run", "--cfg-options"]
    words += [f"{key}={value}" for key, value in options.items()]
    runner = launch.build_runner(launch.prepare_training(parse_args(words)))
    runner.train()
    assert type(runner.optim_wrapper).__name__ in ("BF16OptimWrapper", "AmpOptimWrapper")
    assert [path.name for path in (tmp_path / "run").glob("*.pth")] == ["epoch_3.pth"]

    checkpoint = str(tmp_path / "run" / "epoch_3.pth")
    judge = build_feature_network(
        dict(type="mmpretrain", config="classifier_cifar10.py", checkpoint=checkpoint, cfg_options=narrow)
    )
    images = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8)
    trained = runner.model.eval()
    with torch.no_grad():
        inputs = trained.data_preprocessor(dict(inputs=images))["inputs"]
        expected = trained.head(trained.extract_feat(inputs)).softmax(1)
    torch.testing.assert_close(judge(images).probabilities, expected)


def test_a_changed_recipe_has_a_checkpoint_of_its_own(tmp_path):
    recipe, changed = recipe_path("classifier_digits.py"), tmp_path / "classifier_digits.py"
    cfg = Config.fromfile(recipe)
    cfg.max_epochs += 1
    cfg.dump(changed)
    options = {"train_cfg.max_epochs": 1}
    paths = {cached_checkpoint(recipe, "."), cached_checkpoint(changed, "."), cached_checkpoint(recipe, ".", options)}
    assert len(paths) == 3


@pytest.mark.slow
def test_a_failed_training_is_reported_with_its_cause(tmp_path):
    recipe = tmp_path / "broken.py"
    recipe.write_text("default_scope = 'mmpretrain'\nmodel = dict(type='NoSuchModel')\n")
    with pytest.raises(RuntimeError, match=r"broken-[0-9a-f]{12}\.pth\. It ended with status 1"):
        ensure_checkpoint(str(recipe), str(tmp_path / "cache"))
    assert visible(tmp_path / "cache") == []


def test_a_missing_checkpoint_and_one_of_another_model_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="train_if_missing"):
        ensure_checkpoint("classifier_digits.py", str(tmp_path), train=False)
    with pytest.raises(FileNotFoundError, match=r"absent\.pth"):
        network(Path("absent.pth"))
    torch.save(dict(state_dict={"head.fc.weight": torch.zeros(10, 64)}), tmp_path / "other.pth")
    with pytest.raises(ValueError, match=r"(?s)classifier_digits\.py.*backbone\.conv1"):
        network(tmp_path / "other.pth")
