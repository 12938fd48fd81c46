"""The kNN accuracy of a backbone in training, in real runs of mmengine and mmpretrain."""

from __future__ import annotations

import math
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

pytest.importorskip("mmpretrain")
pytest.importorskip("sklearn")

import tiny_selfsup
from mmengine.registry import DATASETS, HOOKS
from mmengine.runner import IterBasedTrainLoop
from tiny_run import assert_equal, hook, train_in_processes
from tiny_selfsup import images, knn, make_config

from nda_mm.datasets import Digits
from nda_mm.engine.hooks.knn_hook import KNNHook
from nda_mm.studies.table import read_evaluations


def read_curves(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Metric -> (step, value), by step."""
    return {name: list(zip(rows["step"], rows["value"])) for name, rows in read_evaluations(folder).groupby("metric")}


def by_hand(runner, k: int = 5, temperature: float = 0.07) -> float:
    """Each image alone through the backbone, then a loop over pairs."""
    backbone = deepcopy(runner.model.backbone)
    backbone.eval()  # which returns nothing in mmpretrain

    def encode(split: str, count: int) -> list[tuple[torch.Tensor, int]]:
        data = Digits(split=split, size=16, indices=count)
        pixels = ((torch.from_numpy(image).permute(2, 0, 1).float() - 127.5) / 127.5 for image in data.images)
        with torch.no_grad():
            found = [backbone(image[None])[-1].flatten(2).mean(dim=2)[0].double() for image in pixels]
        return [(vector / vector.norm(), int(label)) for vector, label in zip(found, data.labels)]

    bank, test = encode("train", 21), encode("test", 14)
    right = 0
    for query, truth in test:
        nearest = sorted(((float(query @ entry), label) for entry, label in bank), reverse=True)[:k]
        votes = [sum(math.exp(s / temperature) for s, label in nearest if label == each) for each in range(10)]
        right += votes.index(max(votes)) == truth
    return 100 * right / len(test)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Any:
    """A run of one epoch with the hook, and the accuracy of its start by hand."""
    config, start = make_config(tmp_path_factory.mktemp("knn"), steps=1, custom_hooks=(knn(),)), []
    runner = tiny_selfsup.train(config, before_train=lambda runner: start.append(by_hand(runner)))
    return runner, start[0]


def evaluate(runner: Any, **settings: Any) -> dict[str, float]:
    hook = HOOKS.build(knn(**settings))
    hook.before_train(runner)
    return hook.evaluate(runner, step=9)


def test_the_accuracy_is_that_of_a_loop_over_single_images(trained):
    runner, start = trained
    curves = read_curves(Path(runner.work_dir))
    assert curves["knn/top1"][:2] == [(0, pytest.approx(start)), (1, pytest.approx(by_hand(runner)))]
    assert set(curves) == {"knn/top1", "knn/top5"}  # of 10 classes; 5 or fewer have no top5
    assert runner.message_hub.get_scalar("knn/top1").data[0][1] == pytest.approx(curves["knn/top1"][1][1])


def test_the_sets_may_be_built_and_batches_do_not_change_the_result(trained):
    runner, _ = trained
    built = {name: DATASETS.build(knn()[name]) for name in ("bank", "test")}
    results = [evaluate(runner, **settings) for settings in ({}, built, dict(batch_size=4, num_workers=1))]
    assert results == [results[0]] * 3
    assert results[0]["knn/top1"] == pytest.approx(read_curves(Path(runner.work_dir))["knn/top1"][1][1])


def test_each_module_is_back_in_the_mode_it_had(trained):
    runner, _ = trained
    runner.model.train()
    runner.model.backbone.layer2.eval()
    before = [module.training for module in runner.model.modules()]
    assert set(before) == {True, False}
    evaluate(runner)
    assert [module.training for module in runner.model.modules()] == before


def test_what_does_not_fit_is_refused(trained, monkeypatch):
    runner, _ = trained
    for name, settings in (
        ("k", dict(k=0)),
        ("temperature", dict(temperature=0)),
        ("k", dict(k=22)),
        ("gt_label", dict(test=images(pipeline=[dict(type="nda_mm.Unlabeled"), *tiny_selfsup.PACK]))),
    ):
        with pytest.raises(ValueError, match=name):
            evaluate(runner, **settings)
    iterations = SimpleNamespace(train_loop=object.__new__(IterBasedTrainLoop))
    with pytest.raises(ValueError, match="by_epoch=False"):
        evaluate(iterations)
    monkeypatch.setattr(runner.model, "extract_feat", lambda inputs: (torch.zeros(len(inputs), 5, 3),))
    with pytest.raises(ValueError, match="cls_token"):
        evaluate(runner)


def test_without_sets_each_training_image_is_classified_by_the_others(tmp_path):
    """8 images of 3 digits, each as the single test image of a bank of the other 7."""
    chosen = [5, 15, 25, 9, 19, 29, 8, 18]
    config = make_config(tmp_path, steps=1, custom_hooks=(dict(type="nda_mm.KNNHook", k=3),))
    config["train_dataloader"]["dataset"]["indices"] = chosen
    runner = tiny_selfsup.build(config)
    runner.train()
    right = 0.0
    for index in chosen:
        others = [each for each in chosen if each != index]
        hook = KNNHook(images(indices=others), images(indices=[index]), k=3)
        hook.before_train(runner)
        right += hook.evaluate(runner, step=9)["knn/top1"]
    curve = read_curves(tmp_path)["knn/top1"]
    assert [step for step, _ in curve[:2]] == [0, 1]
    assert curve[1][1] == pytest.approx(right / 8) and 0 < right < 800


def test_without_sets_and_labels_nothing_is_measured(tmp_path):
    config = make_config(tmp_path, steps=1, custom_hooks=(dict(type="nda_mm.KNNHook", k=5),))
    config["train_dataloader"]["dataset"]["pipeline"].insert(0, dict(type="nda_mm.Unlabeled"))
    tiny_selfsup.train(config)
    assert "no labels" in next(tmp_path.glob("*/*.log")).read_text()
    assert not any("knn" in path.read_text() for path in tmp_path.rglob("scalars.json"))


@pytest.mark.parametrize("loop", ["EpochBasedTrainLoop", pytest.param("IterBasedTrainLoop", marks=pytest.mark.slow)])
def test_training_is_left_bit_for_bit_as_it_was(tmp_path, loop):
    hook = knn(by_epoch="Epoch" in loop)
    plain = tiny_selfsup.trained(make_config(tmp_path / "plain", loop=loop, steps=2))
    judged = tiny_selfsup.trained(make_config(tmp_path / "judged", loop=loop, steps=2, custom_hooks=(hook,)))
    assert_equal(judged, plain)


def test_the_interval_counts_and_the_last_is_always_evaluated(tmp_path):
    tiny_selfsup.train(make_config(tmp_path / "epochs", steps=3, custom_hooks=(knn(interval=2, before_train=False),)))
    assert [step for step, _ in read_curves(tmp_path / "epochs")["knn/top1"]] == [2, 3]
    near = knn(interval=2, by_epoch=False, prefix="near")
    tiny_selfsup.train(make_config(tmp_path / "iterations", loop="nda_mm.ExactIterLoop", steps=3, custom_hooks=(near,)))
    assert [step for step, _ in read_curves(tmp_path / "iterations")["near/top1"]] == [0, 2, 3]


@pytest.mark.slow
def test_a_resumed_run_evaluates_no_start_and_continues_the_curve(tmp_path):
    settings: dict[str, Any] = dict(custom_hooks=(knn(),), checkpoint=dict(interval=1))
    tiny_selfsup.train(make_config(tmp_path / "straight", steps=3, **settings))
    tiny_selfsup.train(make_config(tmp_path / "stopped", steps=1, **settings))
    resumed = tiny_selfsup.train(make_config(tmp_path / "stopped", steps=3, **settings), resume=True)
    assert read_curves(tmp_path / "stopped") == read_curves(tmp_path / "straight")
    assert len(resumed.message_hub.get_scalar("knn/top1").data[0]) == 4


def test_the_best_checkpoint_is_kept_by_it(tmp_path):
    best = dict(interval=1, save_best="knn/top1", rule="greater")
    runner = tiny_selfsup.build(
        make_config(tmp_path, steps=3, custom_hooks=(knn(before_train=False),), checkpoint=best)
    )
    weights = {}

    def evaluate(runner, step):
        weights[step] = deepcopy(runner.model.state_dict())
        return {"knn/top1": {1: 50.0, 2: 80.0, 3: 60.0}[step]}

    hook(runner, "KNNHook").evaluate = evaluate
    runner.train()
    best = list(tmp_path.glob("best_*.pth"))
    assert [path.name for path in best] == ["best_knn_top1_epoch_2.pth"]
    saved = torch.load(best[0], weights_only=True)
    assert (saved["meta"]["epoch"], saved["meta"]["iter"]) == (2, 12)
    assert_equal(saved["state_dict"], weights[2])


def test_a_best_checkpoint_without_the_prefix_is_refused_by_name(tmp_path):
    best = dict(interval=1, save_best="top1", rule="greater")
    runner = tiny_selfsup.build(make_config(tmp_path, steps=2, custom_hooks=(knn(),), checkpoint=best))
    with pytest.raises(KeyError, match="save_best must be one of knn/top1"):
        runner.train()


@pytest.mark.slow
def test_two_ranks_give_the_result_of_one(tmp_path):
    """Ranks of unequal shares: 21 and 14 images by two, and batches that divide neither."""
    hook = knn(test=images(split="test", indices=13), batch_size=4)
    outcomes, _ = train_in_processes(tmp_path, "tiny_selfsup.py", steps=1, custom_hooks=[hook])
    ranks = [outcome["knn"] for outcome in outcomes]
    assert ranks[0] == ranks[1]
    # The start is the same network on one rank as on two: its seed is that of rank 0.
    one = tiny_selfsup.train(make_config(tmp_path / "one", steps=1, custom_hooks=(hook,)))
    for name in ("knn/top1", "knn/top5"):
        assert ranks[0][name][0] == pytest.approx(one.message_hub.get_scalar(name).data[0][0])
