"""CIFAR in its official form and in class folders, what is refused, and downloads by several processes."""

from __future__ import annotations

import functools
import http.server
import json
import os
import pickle
import subprocess
import sys
import tarfile
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import DefaultScope
from PIL import Image
from tiny_images import ARCHIVE, FOLDER, as_published, save_noise, write_cifar10

from nda_mm.datasets import CIFAR10, CIFAR100, DatasetNotReadableError
from nda_mm.registry import DATASETS
from nda_mm.utils.files import recipe_path

REAL = Path(__file__).parents[4] / "shared" / "data"


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
    """The layout of a row written out: red plane, green plane, blue plane, each row by row."""
    images = []
    for row in np.concatenate([batch["data"] for batch in batches]):
        image = np.empty((32, 32, 3), np.uint8)
        for y in range(32):
            for x in range(32):
                image[y, x] = [row[channel * 1024 + y * 32 + x] for channel in range(3)]
        images.append(image)
    return np.stack(images)


def write_class_folders(root: Path) -> list[np.ndarray]:
    return [save_noise(root / "train" / name / f"{i}.png") for name in CIFAR10.METAINFO["classes"] for i in range(3)]


@pytest.mark.parametrize("form", ["packed", "archive", "unpacked", "folder"])
def test_official_files_are_read_wherever_they_are(tmp_path: Path, batches: dict[str, dict], form: str) -> None:
    root = tmp_path / ARCHIVE if form == "archive" else tmp_path
    if form in ("unpacked", "folder"):
        folder = extract(tmp_path)
        (tmp_path / ARCHIVE).unlink()
        root = folder if form == "folder" else tmp_path
    train, test = CIFAR10(str(root)), CIFAR10(str(root), "test")
    np.testing.assert_array_equal(train.images, expected_images(batches["data_batch_1"], batches["data_batch_2"]))
    np.testing.assert_array_equal(test.images, expected_images(batches["test_batch"]))
    assert train.labels.tolist() == batches["data_batch_1"]["labels"] + batches["data_batch_2"]["labels"]


def test_class_folders_are_read_in_label_order_and_cached(tmp_path: Path) -> None:
    written = write_class_folders(tmp_path)
    data = CIFAR10(str(tmp_path), allow_partial=True)
    np.testing.assert_array_equal(data.images, written)
    assert data.labels.tolist() == [label for label in range(10) for _ in range(3)]
    assert isinstance(data.images, np.memmap)
    with pytest.raises(DatasetNotReadableError, match="each class has 5000 images, but found are airplane 3"):
        CIFAR10(str(tmp_path))


@pytest.mark.parametrize("kind", [CIFAR10, CIFAR100])
def test_missing_data_name_every_way_out(tmp_path: Path, kind: type[CIFAR10]) -> None:
    with pytest.raises(DatasetNotReadableError, match="no archive and no folder") as caught:
        kind(str(tmp_path))
    for way in (kind.title, kind.published().filename, "train/a", "download=True", "nda_biggan_digits"):
        assert way in str(caught.value)


def test_damaged_files_are_named_and_run_no_code(tmp_path: Path, batches: dict[str, dict]) -> None:
    class Payload:
        def __reduce__(self):
            return (open, (str(tmp_path / "written"), "w"))

    batch = extract(tmp_path) / "data_batch_2"
    batch.write_bytes(pickle.dumps(Payload()))
    with pytest.raises(DatasetNotReadableError, match="damaged are data_batch_2"):
        CIFAR10(str(tmp_path))
    assert not (tmp_path / "written").exists()
    for make in (batch.unlink, functools.partial(os.mkfifo, batch)):
        make()
        with pytest.raises(DatasetNotReadableError, match="damaged are data_batch_2"):
            CIFAR10(str(tmp_path))


def test_a_truncated_archive_is_named(tmp_path: Path, batches: dict[str, dict]) -> None:
    (tmp_path / ARCHIVE).write_bytes((tmp_path / ARCHIVE).read_bytes()[:-100])
    with pytest.raises(DatasetNotReadableError, match=f"{ARCHIVE}' is truncated or damaged"):
        CIFAR10(str(tmp_path))


def test_wrong_class_folders_and_bad_images_are_named(tmp_path: Path) -> None:
    write_class_folders(tmp_path)
    dogs = tmp_path / "train" / "dog"
    (dogs / "0.png").write_bytes(b"no image")
    (dogs / "1.png").write_bytes((dogs / "1.png").read_bytes()[:1000])
    save_noise(dogs / "2.png", width=31)
    with pytest.raises(DatasetNotReadableError, match=r"3 of 30 images.*dog/0.png.*dog/1.png.*dog/2.png.*31x32 pixels"):
        CIFAR10(str(tmp_path), allow_partial=True)
    (tmp_path / "train" / "cat").rename(tmp_path / "train" / "lynx")
    with pytest.raises(DatasetNotReadableError, match="missing cat, unknown lynx"):
        CIFAR10(str(tmp_path), allow_partial=True)


def test_settings_out_of_range_are_refused() -> None:
    for settings in (dict(split="val"), dict(size=0)):
        with pytest.raises(ValueError, match=next(iter(settings))):
            CIFAR10(**settings)


def test_a_failed_download_names_every_way_out(
    tmp_path: Path, batches: dict[str, dict], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    with pytest.raises(DatasetNotReadableError, match=r"the download failed: (?s:.*)Do one of these"):
        CIFAR10(str(tmp_path / "empty"), download=True)


def test_the_classes_are_mmpretrains() -> None:
    categories = pytest.importorskip("mmpretrain.datasets.categories")
    assert CIFAR10.METAINFO["classes"] == tuple(categories.CIFAR10_CATEGORIES)
    assert CIFAR100.METAINFO["classes"] == tuple(categories.CIFAR100_CATEGORIES)


@pytest.mark.parametrize(("reader", "name", "per_class"), [(CIFAR10, "cifar10", 20), (CIFAR100, "cifar100", 2)])
def test_real_class_folders(tmp_path: Path, reader: type[CIFAR10], name: str, per_class: int) -> None:
    source = REAL / f"{name}_test.zip"
    if not source.is_file():
        pytest.skip(f"{source.name} is not there")
    taken: dict[str, list[str]] = {}
    with zipfile.ZipFile(source) as archive:
        for member in archive.namelist():
            members = taken.setdefault(member.split("/")[-2], [])
            if member.endswith(".png") and len(members) < per_class:
                archive.extract(member, tmp_path)
                members.append(member)
    data = reader(str(tmp_path / name), split="test", allow_partial=True)
    assert len(data) == per_class * len(data.CLASSES)
    for index in (0, per_class, len(data) - 1):
        item = data[index]
        member = sorted(taken[data.CLASSES[item["gt_label"]]])[index % per_class]
        with Image.open(tmp_path / member) as image:
            np.testing.assert_array_equal(item["gt"], np.asarray(image))


@pytest.mark.parametrize("recipe", ["biggan_cifar10_uncond.py", "_base_/datasets/cifar10.py"])
def test_a_folder_of_images_takes_the_place_of_cifar(tmp_path: Path, recipe: str) -> None:
    pytest.importorskip("mmagic")
    for index in range(3):
        save_noise(tmp_path / f"{index}.png", 50 + index, 40)
    config = Config.fromfile(recipe_path(recipe))
    config.train_dataloader.dataset.update(type="nda_mm.ImageFolder", data_root=str(tmp_path))
    with DefaultScope.overwrite_default_scope("mmagic"):
        data = DATASETS.build(config.train_dataloader.dataset)
    assert [tuple(data[index]["data_samples"].gt_img.shape) for index in range(3)] == [(3, 32, 32)] * 3


RANK = """
import json
import sys
import time
import torch.distributed as dist
from torchvision import datasets
from nda_mm.datasets import CIFAR10

rank, store, root, published = int(sys.argv[1]), *sys.argv[2:]
dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
pause, time.sleep = time.sleep, lambda _: None  # no waiting between attempts
CIFAR10.published = lambda *_: type("Published", (datasets.CIFAR10,), json.loads(published))
print(len(CIFAR10(root, download=True)))
dist.barrier()
pause(0.2)  # see nda_mm.engine.launch.end_processes
dist.destroy_process_group()
"""


def run_two_ranks(folder: Path, published: dict) -> list[tuple[int, str, str]]:
    arguments = [str(folder / "store"), str(folder / "data"), json.dumps(published)]
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", RANK, str(rank), *arguments],
            env={**os.environ, "LOCAL_RANK": str(rank)},
            cwd=Path(__file__).parents[3],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    outputs = [rank.communicate() for rank in ranks]
    return [(rank.returncode, out.strip(), error) for rank, (out, error) in zip(ranks, outputs)]


@pytest.mark.slow
def test_one_of_two_processes_downloads(tmp_path: Path) -> None:
    published, _ = write_cifar10(tmp_path)
    asked: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            super().do_GET()

    handler = functools.partial(Handler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        ranks = run_two_ranks(tmp_path, {**published, "url": f"http://127.0.0.1:{server.server_port}/{ARCHIVE}"})
        server.shutdown()
    assert [out for _, out, _ in ranks] == ["40", "40"]
    assert asked == [f"/{ARCHIVE}"]


@pytest.mark.slow
def test_a_failed_download_ends_both_processes(tmp_path: Path) -> None:
    """A process that raised before the others had passed their barrier would leave them waiting for ever."""
    ranks = run_two_ranks(tmp_path, write_cifar10(tmp_path)[0])
    assert [status for status, _, _ in ranks] == [1, 1]
    assert "the download failed" in ranks[0][2]
    assert "no archive and no folder" in ranks[1][2]
