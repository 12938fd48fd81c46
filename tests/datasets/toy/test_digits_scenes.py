from __future__ import annotations

import hashlib
import itertools
import multiprocessing
import os
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sklearn")
pytest.importorskip("mmdet")

from nda_mm.datasets import Digits
from nda_mm.datasets.toy import digits_scenes
from nda_mm.datasets.toy.digits_scenes import draw_scene, make_digits_scenes, overlap

SMALL = dict(train=6, test=4)


@pytest.fixture(scope="module")
def digits() -> Digits:
    return Digits(split="test")


def files(folder: Path) -> dict[str, str]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def test_nothing_outside_the_boxes_is_changed_and_each_side_of_each_box_touches_ink(digits: Digits) -> None:
    draw = np.random.default_rng(1)
    for _ in range(20):
        scene = draw_scene(draw, digits.images[..., 0], digits.labels)
        changed = (scene.image != scene.background).any(axis=-1)
        inside = np.zeros_like(changed)
        for left, top, right, bottom in scene.boxes:
            inside[top:bottom, left:right] = True
            part = changed[top:bottom, left:right]
            assert all(side.any() for side in (part[0], part[-1], part[:, 0], part[:, -1]))
        assert not changed[~inside].any()


def test_digits_sizes_and_overlaps_keep_to_the_settings(digits: Digits) -> None:
    draw = np.random.default_rng(2)
    counts, sides, seen = [], [], set()
    for _ in range(40):
        scene = draw_scene(draw, digits.images[..., 0], digits.labels)
        counts.append(len(scene.boxes))
        sides.extend((scene.boxes[:, 2:] - scene.boxes[:, :2]).max(axis=1).tolist())
        seen |= set(scene.labels.tolist())
        assert 0 <= scene.boxes.min() <= scene.boxes.max() <= 96
        masks = np.zeros((len(scene.boxes), 96, 96), dtype=bool)
        for mask, (left, top, right, bottom) in zip(masks, scene.boxes):
            mask[top:bottom, left:right] = True
        for (one, first), (other, second) in itertools.combinations(zip(masks, scene.boxes), 2):
            share = (one & other).sum() / min(one.sum(), other.sum())
            assert share <= 0.15
            assert overlap(tuple(first), tuple(second)) == pytest.approx(share)
    assert max(counts) == 6
    assert np.mean(counts) > 3  # few found no place
    assert 14 <= min(sides) <= max(sides) <= 40  # a digit fills most of its square's height
    assert seen == set(range(10))


def test_what_is_there_is_kept_and_anything_else_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "scenes"
    assert make_digits_scenes(out, **SMALL)
    times = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    assert not make_digits_scenes(out, **SMALL)
    assert times == {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    with pytest.raises(ValueError, match="but got {'version': 1"):
        make_digits_scenes(out, seed=5)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match="but got other files"):
        make_digits_scenes(tmp_path / "mine", **SMALL)
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"


def test_an_interrupted_run_leaves_nothing_that_looks_complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = digits_scenes._write_split

    def stop(folder: Path, split: str, *args: object) -> None:
        if split == "test":
            raise KeyboardInterrupt
        whole(folder, split, *args)

    monkeypatch.setattr(digits_scenes, "_write_split", stop)
    with pytest.raises(KeyboardInterrupt):
        make_digits_scenes(tmp_path / "scenes", **SMALL)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.undo()
    # A killed process cannot tidy up; what it leaves is not in the next one's way.
    (tmp_path / ".scenes.killed.part" / "train").mkdir(parents=True)
    assert make_digits_scenes(tmp_path / "scenes", **SMALL)


def test_of_several_processes_one_writes(tmp_path: Path) -> None:
    make_digits_scenes(tmp_path / "alone", **SMALL)
    context = multiprocessing.get_context("fork")
    written = context.SimpleQueue()
    workers = [
        context.Process(target=lambda: written.put(make_digits_scenes(tmp_path / "shared", **SMALL))) for _ in range(3)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert sorted(written.get() for _ in workers) == [False, False, True]
    assert files(tmp_path / "shared") == files(tmp_path / "alone")
    assert sorted(os.listdir(tmp_path)) == ["alone", "shared"]


def test_scenes_are_written_at_first_use_and_read_by_mmdet_as_they_were_drawn(tmp_path: Path) -> None:
    from mmengine.registry import DATASETS, DefaultScope

    DefaultScope.get_instance("test_digits_scenes", scope_name="mmdet")
    pipeline = [{"type": "LoadImageFromFile"}, {"type": "LoadAnnotations", "with_bbox": True}]
    for number, split in enumerate(SMALL):
        settings = {"data_root": str(tmp_path / "new" / "scenes"), "split": split, "scenes": SMALL}
        data = DATASETS.build({"type": "nda_mm.DigitsScenes", **settings, "pipeline": pipeline})
        assert len(data) == SMALL[split]
        source = Digits(split=split)  # train scenes of training digits, test scenes of test digits
        draw = np.random.default_rng([0, number])
        for item in data:
            scene = draw_scene(draw, source.images[..., 0], source.labels)
            np.testing.assert_array_equal(item["img"], scene.image[..., ::-1])
            np.testing.assert_array_equal(item["gt_bboxes"].tensor, scene.boxes)
            assert item["gt_bboxes_labels"].tolist() == scene.labels.tolist()
