from __future__ import annotations

import hashlib
import itertools
import os
from pathlib import Path

import pytest
from tiny_images import save_noise

from nda_mm.datasets.images import imagenet
from nda_mm.datasets.images.imagenet import imagenet100_classes, link_classes, prepare_imagenet
from nda_mm.utils.files import recipe_path


def make_imagenet(root: Path, classes: tuple[str, ...] = ("n02", "n01")) -> Path:
    for split, name, number in itertools.product(("train", "val"), classes, (0, 1)):
        save_noise(root / split / name / f"{name}_{number}.JPEG", 40 + number, 50)
    return root


def test_the_lists_name_images_and_classes_as_mmagics_reader_reads_them(tmp_path: Path) -> None:
    pytest.importorskip("mmagic")
    from mmengine import Config
    from mmengine.registry import DATASETS, DefaultScope

    source = make_imagenet(tmp_path / "source")
    prepare_imagenet(source, tmp_path, allow_partial=True)
    expected = "n01/n01_0.JPEG 0\nn01/n01_1.JPEG 0\nn02/n02_0.JPEG 1\nn02/n02_1.JPEG 1\n"
    assert (tmp_path / "meta" / "train.txt").read_text() == expected
    assert (tmp_path / "train").resolve() == (source / "train").resolve()
    config = Config.fromfile(recipe_path("biggan_imagenet128.py"))
    DefaultScope.get_instance("test_imagenet", scope_name="mmagic")
    for loader in (config.train_dataloader, config.test_dataloader):
        data = DATASETS.build({**loader.dataset, "data_root": str(tmp_path)})
        item = data[3]
        assert (len(data), item["data_samples"].gt_img.shape) == (4, (3, 128, 128))
        assert item["data_samples"].gt_label.label.tolist() == [1]


def test_unreadable_images_are_left_out_and_named_once(tmp_path: Path) -> None:
    make_imagenet(tmp_path)
    whole = (tmp_path / "train" / "n01" / "n01_0.JPEG").read_bytes()
    (tmp_path / "train" / "n01" / "n01_0.JPEG").write_bytes(whole[: len(whole) // 2])
    os.mkfifo(tmp_path / "train" / "n01" / "x.JPEG")  # which nobody waits for
    for _ in range(2):  # read, then remembered
        report = prepare_imagenet(tmp_path, tmp_path, allow_partial=True, workers=2)
        (faults,) = report.found.values()
        assert [fault.split(" (")[0] for fault in faults] == ["train/n01/n01_0.JPEG", "train/n01/x.JPEG"]
        assert "n01/n01_1.JPEG 0\nn02" in (tmp_path / "meta" / "train.txt").read_text()


def test_an_interrupted_run_goes_on_and_leaves_no_half_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_imagenet(tmp_path)
    look = imagenet._fault

    def stop(path: Path) -> str:
        if "n02" in str(path):
            raise KeyboardInterrupt
        return look(path)

    with monkeypatch.context() as patch:
        patch.setattr(imagenet, "_fault", stop)
        with pytest.raises(KeyboardInterrupt):
            prepare_imagenet(tmp_path, tmp_path, allow_partial=True)
    assert not (tmp_path / "meta" / "train.txt").exists()
    opened: list[str] = []
    monkeypatch.setattr(imagenet, "_fault", lambda path: opened.append(str(path)) or look(path))
    prepare_imagenet(tmp_path, tmp_path, allow_partial=True)
    assert not any("train/n01" in path for path in opened)
    assert len((tmp_path / "meta" / "train.txt").read_text().splitlines()) == 4


def test_what_is_missing_or_in_the_way_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"ILSVRC2012_img_train\.tar"):
        prepare_imagenet(tmp_path / "absent", tmp_path / "out")
    source = make_imagenet(tmp_path / "source")
    with pytest.raises(ValueError, match="has 2 class folders"):
        prepare_imagenet(source, tmp_path / "out")
    (tmp_path / "out" / "train").mkdir(parents=True)
    with pytest.raises(FileExistsError, match="train"):
        prepare_imagenet(source, tmp_path / "out", allow_partial=True)
    (source / "val" / "n02").rename(source / "val" / "n03")
    with pytest.raises(FileNotFoundError, match="n03"):
        prepare_imagenet(source, tmp_path / "other", allow_partial=True)


CLASSES = ("n01", "n02", "n03")


@pytest.fixture
def four_classes(tmp_path: Path) -> Path:
    return make_imagenet(tmp_path / "imagenet", (*CLASSES, "n04"))  # of which the last is not wanted


def test_the_list_is_cmcs() -> None:
    classes = imagenet100_classes()
    assert len(set(classes)) == 100
    digest = hashlib.sha256("\n".join(classes).encode()).hexdigest()
    assert digest == "d61d354b64beb3ce2c2c9cf04a874298362dc9fcd589e15ee34c5e4592145746"


def test_links_lead_to_the_classes_alone_and_may_be_made_again(four_classes: Path, tmp_path: Path) -> None:
    out = tmp_path / "subset"
    assert [link_classes(four_classes, out, names) for names in (CLASSES[:2], CLASSES[:2], CLASSES)] == [4, 4, 6]
    for split in ("train", "val"):
        assert sorted(path.name for path in (out / split).iterdir()) == list(CLASSES)
        for name in CLASSES:
            assert (out / split / name).readlink() == four_classes / split / name


def test_missing_and_empty_classes_are_named_and_nothing_is_written(four_classes: Path, tmp_path: Path) -> None:
    for path in (four_classes / "val" / "n02").iterdir():
        path.unlink()
    with pytest.raises(FileNotFoundError, match="train/n08, val/n02, val/n08"):
        link_classes(four_classes, tmp_path / "subset", ("n01", "n02", "n08"))
    assert not (tmp_path / "subset").exists()


@pytest.mark.parametrize("name", ["n02", "n07"])
def test_what_is_in_the_way_is_never_overwritten(four_classes: Path, tmp_path: Path, name: str) -> None:
    place = tmp_path / "subset" / "train" / name
    place.mkdir(parents=True)
    with pytest.raises(FileExistsError, match=name):
        link_classes(four_classes, tmp_path / "subset", CLASSES)
    assert place.is_dir()
