"""The sets of OOD images in their official forms: what is read, and damage of every kind."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from tiny_images import save_noise
from tiny_ood_sets import write_set
from torchvision import datasets

from nda_mm.datasets import CIFAR10C, DTD, MNIST, SVHN, DatasetNotReadableError, Places365, TinyImageNet
from nda_mm.datasets.images.image_folder import read_square


def test_textures_are_of_the_class_of_their_folder(tmp_path: Path) -> None:
    write_set(tmp_path, "dtd")
    for root in (tmp_path, tmp_path / "images"):
        data = DTD(str(root), cache_dir=False)
        assert (data.metainfo["classes"], data.labels.tolist()) == (("banded", "zigzagged"), [0, 0, 1, 1])
    np.testing.assert_array_equal(data.images[0], read_square(tmp_path / "images/banded/banded_0002.jpg", 32))


def test_places_have_no_labels(tmp_path: Path) -> None:
    data = Places365(str(write_set(tmp_path, "places365")), size=24)
    assert data.labels.tolist() == [0] * 4
    assert data.images.shape == (4, 24, 24, 3)


def test_tiny_imagenets_classes_are_in_the_list(tmp_path: Path) -> None:
    data = TinyImageNet(str(write_set(tmp_path, "tiny_imagenet")))
    assert (data.metainfo["classes"], data.labels.tolist()) == (("n00", "n01"), [0, 1, 0, 1])
    assert TinyImageNet(str(tmp_path), "train").labels.tolist() == [1]
    (tmp_path / "val" / "images").rename(tmp_path / "val" / "n01")  # as many sort them
    assert TinyImageNet(str(tmp_path)).labels.tolist() == [1] * 4


@pytest.mark.parametrize(("kind", "name"), [(DTD, "dtd"), (Places365, "places365"), (TinyImageNet, "tiny_imagenet")])
def test_bad_files_are_named_and_the_rest_are_read(kind, name: str, tmp_path: Path) -> None:
    files = kind(str(write_set(tmp_path, name))).files
    files[0].write_bytes(b"")
    files[1].write_bytes(files[1].read_bytes()[:200])
    data = kind(str(tmp_path))
    assert len(data) == 2
    np.testing.assert_array_equal(data.images[0], read_square(files[2], 32))
    with pytest.raises(DatasetNotReadableError, match="max_bad"):
        kind(str(tmp_path), max_bad=0.4)
    for path in files:
        path.unlink()
    with pytest.raises(DatasetNotReadableError, match="(?s)images.*http"):
        kind(str(tmp_path))
    with pytest.raises(DatasetNotReadableError, match="(?s)nowhere.*http"):
        kind(str(tmp_path / "nowhere"))


def test_tiny_imagenets_lists_must_be_there_and_fit(tmp_path: Path) -> None:
    write_set(tmp_path, "tiny_imagenet")
    save_noise(tmp_path / "val" / "images" / "val_9.JPEG")
    with pytest.raises(DatasetNotReadableError, match=r"val_9\.JPEG.*wnids\.txt"):
        TinyImageNet(str(tmp_path))
    for name in ("val/val_annotations.txt", "wnids.txt"):
        (tmp_path / name).unlink()
        with pytest.raises(DatasetNotReadableError, match=name):
            TinyImageNet(str(tmp_path))


SVHN_IMAGES = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
SVHN_LABELS = np.array([[1], [10], [9], [10], [5]], dtype=np.uint8)


@pytest.fixture
def svhn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "test_32x32.mat"
    scipy.io.savemat(path, dict(X=SVHN_IMAGES.transpose(1, 2, 3, 0), y=SVHN_LABELS))
    md5 = hashlib.md5(path.read_bytes()).hexdigest()
    monkeypatch.setitem(datasets.SVHN.split_list, "test", [datasets.SVHN.split_list["test"][0], path.name, md5])
    return tmp_path


def test_svhns_images_and_labels_are_the_files_with_ten_as_zero(svhn: Path) -> None:
    for root in (svhn, svhn / "test_32x32.mat"):
        data = SVHN(str(root))
        np.testing.assert_array_equal(data.images, SVHN_IMAGES)
        assert data.labels.tolist() == [1, 0, 9, 0, 5]


def test_a_missing_or_damaged_file_of_svhn_is_refused(svhn: Path) -> None:
    path = svhn / "test_32x32.mat"
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(DatasetNotReadableError, match=r"test_32x32\.mat'.*MD5"):
        SVHN(str(svhn))
    with pytest.raises(DatasetNotReadableError, match=r"train_32x32\.mat"):
        SVHN(str(svhn), split="train")


CORRUPTED = np.random.default_rng(0).integers(0, 256, (15, 32, 32, 3), dtype=np.uint8)
CORRUPTED_LABELS = np.tile(np.array([3, 8, 0], dtype=np.uint8), 5)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    np.save(tmp_path / "fog.npy", CORRUPTED)
    np.save(tmp_path / "labels.npy", CORRUPTED_LABELS)
    return tmp_path


@pytest.mark.parametrize("severity", [1, 5])
def test_a_severity_is_its_fifth(folder: Path, severity: int) -> None:
    data = CIFAR10C(str(folder), "fog", severity)
    np.testing.assert_array_equal(data.images, CORRUPTED[3 * severity - 3 : 3 * severity])
    assert data.labels.tolist() == [3, 8, 0]
    assert data.metainfo["classes"][3] == "cat"


def test_missing_damaged_and_other_files_of_cifar10_c_are_refused(folder: Path) -> None:
    with pytest.raises(DatasetNotReadableError, match="snow"):
        CIFAR10C(str(folder), "snow")
    (folder / "fog.npy").write_bytes((folder / "fog.npy").read_bytes()[:999])
    with pytest.raises(DatasetNotReadableError, match="fog"):
        CIFAR10C(str(folder), "fog")
    for name, content in (("fog", CORRUPTED[:14]), ("fog", CORRUPTED / 255), ("labels", CORRUPTED_LABELS[:0])):
        np.save(folder / f"{name}.npy", content)
        with pytest.raises(DatasetNotReadableError, match=name):
            CIFAR10C(str(folder), "fog")


def test_mnist_is_read_as_rgb(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 28, 28), dtype=np.uint8)
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for kind in ("train", "t10k"):
        shape = b"".join(int(each).to_bytes(4, "big") for each in images.shape)
        (raw / f"{kind}-images-idx3-ubyte").write_bytes(b"\0\0\x08\x03" + shape + images.tobytes())
        (raw / f"{kind}-labels-idx1-ubyte").write_bytes(b"\0\0\x08\x01" + (2).to_bytes(4, "big") + bytes([4, 7]))
    data = MNIST(str(tmp_path))
    np.testing.assert_array_equal(data.images, images[..., None].repeat(3, axis=-1))
    assert data.labels.tolist() == [4, 7]
    (raw / "t10k-images-idx3-ubyte").write_bytes(b"short")
    for root in (tmp_path, tmp_path / "absent"):
        with pytest.raises(DatasetNotReadableError, match="MNIST"):
            MNIST(str(root))
