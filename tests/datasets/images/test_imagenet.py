from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nda_mm.datasets.images import imagenet
from nda_mm.datasets.images.imagenet import imagenet100_classes, link_classes, prepare_imagenet
from nda_mm.utils.files import recipe_path

RNG = np.random.default_rng(0)


def make_imagenet(root: Path, classes: tuple[str, ...] = ("n02", "n01"), images: int = 2) -> Path:
    for split in ("train", "val"):
        for name in classes:
            folder = root / split / name
            folder.mkdir(parents=True)
            for number in range(images):
                pixels = RNG.integers(0, 256, (40 + number, 50, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{name}_{number}.JPEG", "jpeg")
    return root


def test_the_lists_name_images_with_the_place_of_their_class(tmp_path: Path) -> None:
    source, out = make_imagenet(tmp_path / "source"), tmp_path / "out"
    report = prepare_imagenet(source, out, allow_partial=True)
    expected = "n01/n01_0.JPEG 0\nn01/n01_1.JPEG 0\nn02/n02_0.JPEG 1\nn02/n02_1.JPEG 1\n"
    assert [(out / "meta" / f"{split}.txt").read_text() for split in ("train", "val")] == [expected] * 2
    assert (out / "train").resolve() == (source / "train").resolve()
    assert report.lines() == [f"{out}/meta/train.txt: 4 images", f"{out}/meta/val.txt: 4 images"]


def test_mmagics_reader_reads_them(tmp_path: Path) -> None:
    pytest.importorskip("mmagic")
    from mmengine import Config
    from mmengine.registry import DATASETS, DefaultScope

    prepare_imagenet(make_imagenet(tmp_path), tmp_path, allow_partial=True)
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
    (tmp_path / "train" / "n02" / "n02_1.JPEG").write_bytes(b"no image")
    (tmp_path / "train" / "n02" / "notes.txt").write_text("not an image")
    for _ in range(2):  # read, then remembered
        report = prepare_imagenet(tmp_path, tmp_path, allow_partial=True, workers=2)
        (faults,) = report.found.values()
        assert [fault.split(" (")[0] for fault in faults] == ["train/n01/n01_0.JPEG", "train/n02/n02_1.JPEG"]
        assert "truncated" in faults[0]
        assert (tmp_path / "meta" / "train.txt").read_text() == "n01/n01_1.JPEG 0\nn02/n02_0.JPEG 1\n"


def test_a_second_run_opens_only_what_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_imagenet(tmp_path)
    opened: list[str] = []
    look = imagenet._fault
    monkeypatch.setattr(imagenet, "_fault", lambda path: opened.append(os.path.basename(path)) or look(path))
    prepare_imagenet(tmp_path, tmp_path, allow_partial=True)
    assert len(opened) == 8
    opened.clear()
    prepare_imagenet(tmp_path, tmp_path, allow_partial=True)
    assert opened == []
    os.utime(tmp_path / "val" / "n02" / "n02_1.JPEG", ns=(1, 1))
    prepare_imagenet(tmp_path, tmp_path, allow_partial=True)
    assert opened == ["n02_0.JPEG", "n02_1.JPEG"]


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
    shutil.rmtree(source / "val")
    prepare_imagenet(source, tmp_path / "other", allow_partial=True)  # train alone
    assert not (tmp_path / "other" / "meta" / "val.txt").exists()
    for path in source.rglob("*.JPEG"):
        path.write_bytes(b"")
    with pytest.raises(ValueError, match="no image of"):
        prepare_imagenet(source, tmp_path / "other", allow_partial=True)


CLASSES = ("n01", "n02", "n03")


@pytest.fixture
def four_classes(tmp_path: Path) -> Path:
    """Four classes of one image; the fourth is not wanted."""
    for split in ("train", "val"):
        for name in (*CLASSES, "n04"):
            folder = tmp_path / "imagenet" / split / name
            folder.mkdir(parents=True)
            (folder / f"{name}_{split}.JPEG").write_text(name)
    return tmp_path / "imagenet"


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
            assert (out / split / name).is_symlink()
            assert (out / split / name / f"{name}_{split}.JPEG").read_text() == name


def test_missing_and_empty_classes_are_named_and_nothing_is_written(four_classes: Path, tmp_path: Path) -> None:
    (four_classes / "val" / "n02" / "n02_val.JPEG").unlink()
    with pytest.raises(FileNotFoundError, match="train/n08, val/n02, val/n08"):
        link_classes(four_classes, tmp_path / "subset", ("n01", "n02", "n08"))
    assert not (tmp_path / "subset").exists()


@pytest.mark.parametrize("kind", ["file", "link elsewhere", "another class"])
def test_what_is_in_the_way_is_never_overwritten(four_classes: Path, tmp_path: Path, kind: str) -> None:
    place = tmp_path / "subset" / "train" / ("n07" if kind == "another class" else "n02")
    place.parent.mkdir(parents=True)
    if kind == "file":
        place.write_text("mine")
    elif kind == "link elsewhere":
        place.symlink_to(four_classes / "train" / "n01")
    else:
        place.mkdir()
    with pytest.raises(FileExistsError, match=place.name):
        link_classes(four_classes, tmp_path / "subset", CLASSES)
    assert place.is_file() or place.is_dir()


@pytest.mark.slow
def test_the_tool(four_classes: Path, tmp_path: Path, project_root: Path) -> None:
    import subprocess
    import sys

    (tmp_path / "mine.txt").write_text("\n".join(CLASSES))

    def run(*words: str) -> subprocess.CompletedProcess:
        command = [sys.executable, str(project_root / "tools" / "make_imagenet100.py"), str(four_classes), *words]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    done = run("--out", str(tmp_path / "subset"), "--classes", str(tmp_path / "mine.txt"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("train and val of 3 classes, 6 links\n")
    refused = run("--out", str(tmp_path / "other"))
    assert refused.returncode == 1
    assert "train/n01558993" in refused.stderr
