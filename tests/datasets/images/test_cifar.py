from __future__ import annotations

import functools
import hashlib
import http.server
import io
import json
import os
import pickle
import subprocess
import sys
import tarfile
import threading
import types
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import ClassBalancedDataset, ConcatDataset
from mmengine.registry import DefaultScope
from PIL import Image

from nda_mm.datasets import CIFAR10, CIFAR100, DatasetNotReadableError
from nda_mm.datasets.images.cifar import load_batch
from nda_mm.registry import DATASETS
from nda_mm.utils.files import recipe_path

REAL = Path(__file__).parents[4] / "shared" / "data"


def make_batch(count: int, seed: int) -> dict:
    rng = np.random.default_rng(seed)
    return {
        "batch_label": "a test",
        "labels": [index % 10 for index in range(count)],
        "data": rng.integers(0, 256, (count, 3072), dtype=np.uint8),
        "filenames": [f"{index}.png" for index in range(count)],
    }


def make_archive(root: Path, count: int = 20) -> tuple[type[CIFAR10], dict[str, dict]]:
    """An archive in the official format, with a reader that knows its checksums."""
    entries = {
        "data_batch_1": make_batch(count, 1),
        "data_batch_2": make_batch(count, 2),
        "test_batch": make_batch(10, 3),
    }
    contents = {name: pickle.dumps(entry, protocol=4) for name, entry in entries.items()}
    packed = root / "cifar-10-python.tar.gz"
    with tarfile.open(packed, "w:gz") as tar:
        for name, content in contents.items():
            info = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    checksums = {name: hashlib.md5(content).hexdigest() for name, content in contents.items()}

    class SmallCIFAR10(CIFAR10):
        images_per_class = {"train": count // 5, "test": 1}
        source = types.SimpleNamespace(
            url="http://127.0.0.1:9/cifar-10-python.tar.gz",
            filename="cifar-10-python.tar.gz",
            tgz_md5=hashlib.md5(packed.read_bytes()).hexdigest(),
            base_folder="cifar-10-batches-py",
            train_list=[[name, checksums[name]] for name in ("data_batch_1", "data_batch_2")],
            test_list=[["test_batch", checksums["test_batch"]]],
        )

        @classmethod
        def published(cls) -> Any:
            return cls.source

    return SmallCIFAR10, entries


def expected_images(*entries: dict) -> np.ndarray:
    """Row layout written out plainly: red plane, green plane, blue plane, each row by row."""
    images = []
    for entry in entries:
        for row in entry["data"]:
            image = np.empty((32, 32, 3), np.uint8)
            for y in range(32):
                for x in range(32):
                    image[y, x] = [row[channel * 1024 + y * 32 + x] for channel in range(3)]
            images.append(image)
    return np.stack(images)


def write_class_folders(root: Path, split: str = "train", per_class: int = 3, size: int = 32) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    written = {}
    for name in CIFAR10.METAINFO["classes"]:
        folder = root / split / name
        folder.mkdir(parents=True)
        for index in range(per_class):
            image = rng.integers(0, 256, (size, size, 3), dtype=np.uint8)
            Image.fromarray(image).save(folder / f"{index}.png")
            written[f"{name}/{index}"] = image
    return written


@pytest.mark.parametrize("form", ["packed", "file", "unpacked", "folder"])
def test_official_format_is_read_from_wherever_it_lies(tmp_path: Path, form: str) -> None:
    reader, entries = make_archive(tmp_path)
    root = {"packed": tmp_path, "file": tmp_path / "cifar-10-python.tar.gz"}.get(form, tmp_path)
    if form in ("unpacked", "folder"):
        with tarfile.open(tmp_path / "cifar-10-python.tar.gz") as tar:
            tar.extractall(tmp_path, filter="data")
        (tmp_path / "cifar-10-python.tar.gz").unlink()
        root = tmp_path / "cifar-10-batches-py" if form == "folder" else tmp_path
    train = reader(str(root), split="train")
    np.testing.assert_array_equal(train.images, expected_images(entries["data_batch_1"], entries["data_batch_2"]))
    assert train.get_gt_labels().tolist() == entries["data_batch_1"]["labels"] + entries["data_batch_2"]["labels"]
    test = reader(str(root), split="test")
    np.testing.assert_array_equal(test.images, expected_images(entries["test_batch"]))
    item = train[23]
    assert set(item) == {"gt", "gt_label", "sample_idx", "gt_channel_order"}
    assert (item["gt_label"], item["sample_idx"], item["gt_channel_order"]) == (3, 23, "RGB")
    np.testing.assert_array_equal(item["gt"], train.images[23])


def test_class_folders_are_read_in_label_order_and_cached(tmp_path: Path) -> None:
    written = write_class_folders(tmp_path)
    data = CIFAR10(str(tmp_path), allow_partial=True)
    np.testing.assert_array_equal(data.images, np.stack(list(written.values())))
    assert data.labels.tolist() == [label for label in range(10) for _ in range(3)]
    assert isinstance(data.images, np.memmap)


def test_an_item_is_a_copy_and_subsets_leave_the_rest_alone(tmp_path: Path) -> None:
    reader, _ = make_archive(tmp_path)
    data = reader(str(tmp_path))
    before = data.images.copy()
    data[0]["gt"][:] = 0
    np.testing.assert_array_equal(data.images, before)

    assert [data.get_subset([5, 1])[i]["gt_label"] for i in range(2)] == [5, 1]
    np.testing.assert_array_equal(data.get_subset(-3).images, before[-3:])
    np.testing.assert_array_equal(reader(str(tmp_path), indices=4).images, before[:4])
    np.testing.assert_array_equal(reader(str(tmp_path), indices=[2, 0], lazy_init=True)[0]["gt"], before[2])
    assert len(data) == 40
    assert data[-1]["sample_idx"] == 39
    with pytest.raises(ValueError, match=r"subset of 41 images.*there are 40"):
        data.get_subset_(41)
    data.get_subset_(7)
    assert len(data) == 7

    assert len(ConcatDataset([data, reader(str(tmp_path), split="test")])) == 17
    assert len(ClassBalancedDataset(data, oversample_thr=1e-3)) == 7


def test_images_reach_forked_workers_whole(tmp_path: Path) -> None:
    reader, _ = make_archive(tmp_path)
    data = reader(str(tmp_path), image_key="img")
    loader = torch.utils.data.DataLoader(data, batch_size=8, num_workers=2)
    images = torch.cat([batch["img"] for batch in loader])
    np.testing.assert_array_equal(images, data.images)


@pytest.mark.parametrize("order", ["RGB", "BGR"])
def test_mmagic_gets_the_channels_in_the_order_it_asks_for(tmp_path: Path, order: str) -> None:
    pytest.importorskip("mmagic")
    from mmagic.registry import MODELS
    from mmengine.runner import Runner

    write_class_folders(tmp_path)
    with DefaultScope.overwrite_default_scope("mmagic"):
        loader = Runner.build_dataloader(
            dict(
                batch_size=4,
                num_workers=0,
                sampler=dict(type="DefaultSampler", shuffle=False),
                dataset=dict(
                    type="nda_mm.CIFAR10",
                    data_root=str(tmp_path),
                    allow_partial=True,
                    pipeline=[dict(type="PackInputs")],
                ),
            )
        )
        preprocessor = MODELS.build(dict(type="DataPreprocessor", output_channel_order=order))
    batch = preprocessor(next(iter(loader)), training=True)
    rgb = torch.from_numpy(np.array(loader.dataset.images[:4])).permute(0, 3, 1, 2).float()
    expected = (rgb if order == "RGB" else rgb.flip(1)) / 127.5 - 1
    torch.testing.assert_close(batch["data_samples"].gt_img, expected)
    assert batch["data_samples"].gt_label.label.flatten().tolist() == [0, 0, 0, 1]


# What goes wrong: always the cause, the three ways out, and the recipe that needs no data.


def check_ways_out(message: str) -> None:
    for way in ("official archive at", "class folders of PNG at", "download=True", "tools/train.py nda_biggan_digits"):
        assert way in message


def test_missing_data_name_every_way_out(tmp_path: Path) -> None:
    with pytest.raises(
        DatasetNotReadableError, match=r"CIFAR-10 .train split. cannot be read from .*no archive"
    ) as caught:
        CIFAR10(str(tmp_path / "nowhere"))
    check_ways_out(str(caught.value))
    with pytest.raises(DatasetNotReadableError, match=r"(?s)CIFAR-100 .*cifar-100-python.tar.gz"):
        CIFAR100(str(tmp_path / "nowhere"))


def test_truncated_archive_is_named(tmp_path: Path) -> None:
    reader, _ = make_archive(tmp_path)
    packed = tmp_path / "cifar-10-python.tar.gz"
    packed.write_bytes(packed.read_bytes()[:-100])
    with pytest.raises(DatasetNotReadableError, match=r"cifar-10-python.tar.gz' is truncated or damaged") as caught:
        reader(str(tmp_path))
    check_ways_out(str(caught.value))


def test_altered_batch_file_is_named(tmp_path: Path) -> None:
    reader, _ = make_archive(tmp_path)
    with tarfile.open(tmp_path / "cifar-10-python.tar.gz") as tar:
        tar.extractall(tmp_path, filter="data")
    batch = tmp_path / "cifar-10-batches-py" / "data_batch_2"
    content = bytearray(batch.read_bytes())
    content[5000] ^= 1
    batch.write_bytes(content)
    with pytest.raises(DatasetNotReadableError, match="data_batch_2' is truncated or damaged") as caught:
        reader(str(tmp_path))
    check_ways_out(str(caught.value))
    batch.unlink()
    with pytest.raises(DatasetNotReadableError, match="data_batch_2"):
        reader(str(tmp_path))
    os.mkfifo(batch)
    with pytest.raises(DatasetNotReadableError, match="data_batch_2"):
        reader(str(tmp_path))


def test_wrong_counts_are_listed(tmp_path: Path) -> None:
    write_class_folders(tmp_path)
    with pytest.raises(DatasetNotReadableError, match="each class has 5000 images, but found are airplane 3") as caught:
        CIFAR10(str(tmp_path))
    check_ways_out(str(caught.value))


def test_wrong_class_folders_are_listed(tmp_path: Path) -> None:
    write_class_folders(tmp_path)
    (tmp_path / "train" / "cat").rename(tmp_path / "train" / "lynx")
    with pytest.raises(DatasetNotReadableError, match="missing cat, unknown lynx"):
        CIFAR10(str(tmp_path))


def test_unreadable_images_are_named(tmp_path: Path) -> None:
    write_class_folders(tmp_path)
    (tmp_path / "train" / "dog" / "0.png").write_bytes(b"no image")
    whole = (tmp_path / "train" / "dog" / "1.png").read_bytes()
    (tmp_path / "train" / "dog" / "1.png").write_bytes(whole[: len(whole) // 2])
    Image.new("RGB", (31, 32)).save(tmp_path / "train" / "dog" / "2.png")
    with pytest.raises(
        DatasetNotReadableError, match=r"3 of 30 images.*dog/0.png.*dog/1.png.*dog/2.png.*31x32 pixels"
    ) as caught:
        CIFAR10(str(tmp_path), allow_partial=True)
    check_ways_out(str(caught.value))


def test_failed_download_names_every_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader, _ = make_archive(tmp_path)  # its address leads nowhere
    monkeypatch.setattr("time.sleep", lambda _: None)
    with pytest.raises(
        DatasetNotReadableError, match=r"the download failed: .*could not be fetched in 4 attempts"
    ) as caught:
        reader(str(tmp_path / "empty"), download=True)
    check_ways_out(str(caught.value))


def test_unknown_split_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\['test', 'train'\].*'val'"):
        CIFAR10(split="val")
    with pytest.raises(ValueError, match="image_key must be a name"):
        CIFAR10(image_key="", lazy_init=True)


class Payload:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_a_batch_file_cannot_run_code(tmp_path: Path) -> None:
    target = tmp_path / "written"
    for protocol in range(6):
        with pytest.raises(ValueError, match="open"):
            load_batch(pickle.dumps({"data": Payload(target)}, protocol=protocol))
    assert not target.exists()
    with pytest.raises(ValueError, match="batch file"):
        load_batch(b"\x80\x02}q")


def test_batches_are_read_as_python_2_wrote_them() -> None:
    # The published files are pickles of python 2: text and array bytes are byte strings there, read as latin1.
    def string(text: bytes) -> bytes:
        return b"T" + len(text).to_bytes(4, "little") + text

    array = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\nt" + string(b"b") + b"tR"
        b"(I1\n(I1\nI3072\nt"
        b"cnumpy\ndtype\n(" + string(b"u1") + b"I0\nI1\ntR(I3\n" + string(b"|") + b"NNNI-1\nI-1\nI0\ntb"
        b"I00\n" + string(bytes(range(256)) * 12) + b"tb"
    )
    entry = load_batch(b"(d" + string(b"data") + array + b"s" + string(b"labels") + b"(lI3\nas.")
    np.testing.assert_array_equal(entry["data"], (np.arange(3072) % 256).astype(np.uint8)[None])
    assert entry["labels"] == [3]


def test_the_classes_are_mmpretrains() -> None:
    categories = pytest.importorskip("mmpretrain.datasets.categories")
    assert CIFAR10.METAINFO["classes"] == tuple(categories.CIFAR10_CATEGORIES)
    assert CIFAR100.METAINFO["classes"] == tuple(categories.CIFAR100_CATEGORIES)


@pytest.mark.parametrize(("reader", "name", "per_class"), [(CIFAR10, "cifar10", 20), (CIFAR100, "cifar100", 2)])
def test_real_class_folders(tmp_path: Path, reader: type[CIFAR10], name: str, per_class: int) -> None:
    source = REAL / f"{name}_test.zip"
    if not source.is_file():
        pytest.skip(f"{source.name} is not at hand")
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


RANK = """
import json
import sys
import time
import types
import torch.distributed as dist
from nda_mm.datasets import CIFAR10

rank, store, root, source = int(sys.argv[1]), *sys.argv[2:]
dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
pause, time.sleep = time.sleep, lambda _: None  # no waiting between attempts


class Small(CIFAR10):
    images_per_class = {"train": 4, "test": 1}

    @staticmethod
    def published():
        return types.SimpleNamespace(**json.loads(source))


print(len(Small(root, download=True)))
dist.barrier()
pause(0.2)  # see nda_mm.engine.launch.end_processes
dist.destroy_process_group()
"""


def run_two_ranks(folder: Path, source: dict) -> list[tuple[int, str, str]]:
    arguments = [str(folder / "store"), str(folder / "data"), json.dumps(source)]
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
    reader, _ = make_archive(tmp_path)
    asked: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            super().do_GET()

    handler = functools.partial(Handler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/cifar-10-python.tar.gz"
        ranks = run_two_ranks(tmp_path, {**vars(reader.source), "url": url})
        server.shutdown()
    assert [out for _, out, _ in ranks] == ["40", "40"]
    assert asked == ["/cifar-10-python.tar.gz"]


@pytest.mark.slow
def test_failed_download_ends_both_processes(tmp_path: Path) -> None:
    """A process that raised before the others had passed their barrier would leave them waiting for ever."""
    reader, _ = make_archive(tmp_path)
    ranks = run_two_ranks(tmp_path, vars(reader.source))
    assert [status for status, _, _ in ranks] == [1, 1]
    assert "the download failed" in ranks[0][2]
    assert "no archive and no class folders" in ranks[1][2]


@pytest.mark.parametrize("recipe", ["biggan_cifar10_uncond.py", "_base_/datasets/cifar10.py"])
def test_a_folder_of_ones_own_images_takes_the_place_of_cifar(tmp_path: Path, recipe: str) -> None:
    pytest.importorskip("mmagic")
    for index in range(3):
        Image.new("RGB", (50 + index, 40), (index, 0, 0)).save(tmp_path / f"{index}.jpg")
    config = Config.fromfile(recipe_path(recipe))
    root = str(tmp_path)
    config.merge_from_dict(
        {"train_dataloader.dataset.type": "nda_mm.ImageFolder", "train_dataloader.dataset.data_root": root}
    )
    with DefaultScope.overwrite_default_scope("mmagic"):
        data = DATASETS.build(config.train_dataloader.dataset)
    assert [tuple(data[index]["data_samples"].gt_img.shape) for index in range(3)] == [(3, 32, 32)] * 3
