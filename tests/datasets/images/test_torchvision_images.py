"""CIFAR and STL-10 in their official forms, class folders, what is refused, downloads by several processes."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import DefaultScope
from tiny_images import ARCHIVE, FOLDER, as_published, save_noise, write_cifar10
from torchvision import datasets

from nda_mm.datasets import CIFAR10, CIFAR100, STL10, DatasetNotReadableError
from nda_mm.registry import DATASETS
from nda_mm.utils.files import recipe_path


@pytest.fixture
def batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, dict]:
    published, batches = write_cifar10(tmp_path)
    monkeypatch.setattr(CIFAR10, "published", lambda *_: as_published(published))
    return batches


def extract(root: Path) -> Path:
    with tarfile.open(root / ARCHIVE) as archive:
        archive.extractall(root, filter="data")
    return root / FOLDER


def expected_images(*batches: dict) -> np.ndarray:
    """A row holds the red plane, the green plane and the blue plane, each row by row."""
    planes = np.concatenate([batch["data"] for batch in batches]).reshape(-1, 3, 32, 32)
    return planes.transpose(0, 2, 3, 1)


def write_class_folders(root: Path) -> list[np.ndarray]:
    return [save_noise(root / "train" / name / f"{i}.png") for name in CIFAR10.METAINFO["classes"] for i in range(3)]


@pytest.mark.parametrize("form", ["packed", "archive", "folder"])
def test_official_files_are_read_wherever_they_are(tmp_path: Path, batches: dict[str, dict], form: str) -> None:
    root = {"packed": tmp_path, "archive": tmp_path / ARCHIVE, "folder": tmp_path / FOLDER}[form]
    if form == "folder":
        extract(tmp_path)
        (tmp_path / ARCHIVE).unlink()
    train, test = CIFAR10(str(root)), CIFAR10(str(root), "test")
    np.testing.assert_array_equal(train.images, expected_images(batches["data_batch_1"], batches["data_batch_2"]))
    np.testing.assert_array_equal(test.images, expected_images(batches["test_batch"]))
    assert train.labels.tolist() == batches["data_batch_1"]["labels"] + batches["data_batch_2"]["labels"]


def test_class_folders_are_read_in_label_order_and_cached(tmp_path: Path) -> None:
    written = write_class_folders(tmp_path)
    data = CIFAR10(str(tmp_path), allow_partial=True)
    np.testing.assert_array_equal(data.images, written)
    assert data.labels.tolist() == np.repeat(range(10), 3).tolist()
    assert isinstance(data.images, np.memmap)
    with pytest.raises(DatasetNotReadableError, match="5000"):
        CIFAR10(str(tmp_path))


def test_missing_data_name_every_way_out(tmp_path: Path) -> None:
    with pytest.raises(DatasetNotReadableError, match="CIFAR-100") as caught:
        CIFAR100(str(tmp_path))
    for way in (CIFAR100.published().filename, "train/a", "download=True", "nda_biggan_digits"):
        assert way in str(caught.value)


def test_damaged_files_are_named_and_run_no_code(tmp_path: Path, batches: dict[str, dict]) -> None:
    class Payload:
        def __reduce__(self):
            return (open, (str(tmp_path / "written"), "w"))

    batch = extract(tmp_path) / "data_batch_2"
    batch.write_bytes(pickle.dumps(Payload()))
    with pytest.raises(DatasetNotReadableError, match="data_batch_2"):
        CIFAR10(str(tmp_path))
    assert not (tmp_path / "written").exists()


def test_wrong_class_folders_and_bad_images_are_named(tmp_path: Path) -> None:
    write_class_folders(tmp_path)
    dogs = tmp_path / "train" / "dog"
    (dogs / "0.png").write_bytes(b"no image")
    (dogs / "1.png").write_bytes((dogs / "1.png").read_bytes()[:1000])
    save_noise(dogs / "2.png", width=31)
    with pytest.raises(DatasetNotReadableError, match=r"dog/0.png.*dog/1.png.*dog/2.png.*31x32"):
        CIFAR10(str(tmp_path), allow_partial=True)
    (tmp_path / "train" / "cat").rename(tmp_path / "train" / "lynx")
    with pytest.raises(DatasetNotReadableError, match="missing cat, unknown lynx"):
        CIFAR10(str(tmp_path), allow_partial=True)


def test_the_classes_are_mmpretrains() -> None:
    categories = pytest.importorskip("mmpretrain.datasets.categories")
    assert CIFAR10.METAINFO["classes"] == tuple(categories.CIFAR10_CATEGORIES)
    assert CIFAR100.METAINFO["classes"] == tuple(categories.CIFAR100_CATEGORIES)


def test_a_folder_of_images_takes_the_place_of_cifar(tmp_path: Path) -> None:
    pytest.importorskip("mmagic")
    for index in range(3):
        save_noise(tmp_path / f"{index}.png", 50 + index, 40)
    config = Config.fromfile(recipe_path("biggan_cifar10_uncond.py"))
    config.train_dataloader.dataset.update(type="nda_mm.ImageFolder", data_root=str(tmp_path))
    with DefaultScope.overwrite_default_scope("mmagic"):
        data = DATASETS.build(config.train_dataloader.dataset)
    assert [tuple(data[index]["data_samples"].gt_img.shape) for index in range(3)] == [(3, 32, 32)] * 3


@pytest.mark.parametrize("fault", ["nobody answers", "cut off"])
def test_a_failed_download_is_the_cause(
    fault: str, tmp_path: Path, batches: dict[str, dict], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ARCHIVE).unlink()
    if fault == "cut off":
        utils = datasets.utils
        monkeypatch.setattr(utils, "_get_redirect_url", lambda url, **_: url)
        monkeypatch.setattr(utils, "_urlretrieve", lambda _, path: Path(path).write_bytes(b"half of it"))
    with pytest.raises(DatasetNotReadableError, match="the download failed") as caught:
        CIFAR10(str(tmp_path), download=True)
    assert isinstance(caught.value.__cause__, DatasetNotReadableError)
    with pytest.raises(DatasetNotReadableError, match="truncated or damaged" if fault == "cut off" else "no archive"):
        CIFAR10(str(tmp_path))


RANK = """
import json
import shutil
import sys
import time
import torch.distributed as dist
from torchvision import datasets
from nda_mm.datasets import CIFAR10

rank, store, root, published = int(sys.argv[1]), *sys.argv[2:]
dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)

def copy(url, root, filename, md5):
    if not (root / filename).exists():
        print("asked for", filename)
        root.mkdir()
        shutil.copy(url, root / filename)

datasets.utils.download_url = copy
CIFAR10.published = lambda *_: type("Published", (datasets.CIFAR10,), json.loads(published))
print(len(CIFAR10(root, download=True)))
dist.barrier()
time.sleep(0.2)  # see nda_mm.engine.launch.end_processes
dist.destroy_process_group()
"""


def run_two_ranks(folder: Path, published: dict) -> list[tuple[int, list[str], str]]:
    arguments = [str(folder / "store"), str(folder / "data"), json.dumps(published)]
    pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3])
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", RANK, str(rank), *arguments], env={**os.environ, "LOCAL_RANK": str(rank)}, **pipes
        )
        for rank in range(2)
    ]
    outputs = [rank.communicate() for rank in ranks]
    return [(rank.returncode, out.splitlines(), error) for rank, (out, error) in zip(ranks, outputs)]


@pytest.mark.slow
def test_one_of_two_processes_downloads(tmp_path: Path) -> None:
    published, _ = write_cifar10(tmp_path)
    ranks = run_two_ranks(tmp_path, {**published, "url": str(tmp_path / ARCHIVE)})
    assert [out for _, out, _ in ranks] == [[f"asked for {ARCHIVE}", "40"], ["40"]]


@pytest.mark.slow
def test_a_failed_download_ends_both_processes(tmp_path: Path) -> None:
    """A process that raised before the others had passed their barrier would leave them waiting for ever."""
    ranks = run_two_ranks(tmp_path, write_cifar10(tmp_path)[0])
    assert [status for status, _, _ in ranks] == [1, 1]
    assert "the download failed" in ranks[0][2]
    assert "no archive and no folder" in ranks[1][2]


STL10_COUNTS = {"train": 3, "test": 2, "unlabeled": 4}


@pytest.fixture
def stl10(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, np.ndarray]:
    """The official files with a few images, written as the documentation says: by channel, column and row."""
    rng = np.random.default_rng(0)
    images = {part: rng.integers(0, 256, (count, 96, 96, 3), dtype=np.uint8) for part, count in STL10_COUNTS.items()}
    folder = tmp_path / "stl10_binary"
    folder.mkdir()
    md5 = {}
    for part, pixels in images.items():
        labels = bytes([1, 10, 3][: len(pixels)])
        for name, content in ((f"{part}_X.bin", pixels.transpose(0, 3, 2, 1).tobytes()), (f"{part}_y.bin", labels)):
            (folder / name).write_bytes(content)
            md5[name] = hashlib.md5(content).hexdigest()
    for kind in ("train_list", "test_list"):
        listed = [[name, md5[name]] for name, _ in getattr(datasets.STL10, kind)]
        monkeypatch.setattr(datasets.STL10, kind, listed)
    return images


def test_stl10s_files_are_read_in_their_order(tmp_path: Path, stl10: dict[str, np.ndarray]) -> None:
    for root in (tmp_path, tmp_path / "stl10_binary"):
        data = STL10(str(root), "train", size=96)
        np.testing.assert_array_equal(data.images, stl10["train"])
        assert data.labels.tolist() == [0, 9, 2]  # the files count from 1


def test_unlabeled_images_carry_no_label_alone_or_with_others(tmp_path: Path, stl10: dict[str, np.ndarray]) -> None:
    for split in ("unlabeled", "train+unlabeled"):
        data = STL10(str(tmp_path), split, size=96)
        np.testing.assert_array_equal(data.images, np.concatenate([stl10[part] for part in split.split("+")]))
        assert "gt_label" not in data[0] and not data.labels.any()


def test_stl10s_class_folders_are_read_too(tmp_path: Path) -> None:
    written = [save_noise(tmp_path / "train" / name / "0.png", 96, 96) for name in STL10.METAINFO["classes"]]
    alone = save_noise(tmp_path / "unlabeled" / "0.png", 96, 96)
    data = STL10(str(tmp_path), "train", size=96, allow_partial=True)
    np.testing.assert_array_equal(data.images, written)
    assert data.labels.tolist() == list(range(10))
    both = STL10(str(tmp_path), "train+unlabeled", size=96, allow_partial=True)
    np.testing.assert_array_equal(both.images, [*written, alone])
