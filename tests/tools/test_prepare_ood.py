"""The OOD data sets of tools/prepare_data.py, on made archives of the official layouts."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mmengine.config import Config, DictAction
from mmengine.registry import DATASETS
from tiny_archives import RNG, make_tar, make_zip
from tiny_ood_sets import MEMBERS

from nda_mm.datasets.images.ood_sets import CORRUPTIONS
from nda_mm.preparation import commands
from nda_mm.utils.files import recipe_path

Prepare = Callable[..., str]
RECIPE = recipe_path("ood_biggan_cifar10.py")


def wrapped(name: str, folder: str) -> dict[str, bytes]:
    return {f"{folder}/{member}": content for member, content in MEMBERS[name].items()}


TINY_IMAGENET = "tiny-imagenet-200"
MAKERS: dict[str, Callable[[Path], Path]] = {
    "dtd": lambda folder: make_tar(folder / "dtd-r1.0.1.tar.gz", wrapped("dtd", "dtd")),
    "places365": lambda folder: make_tar(folder / "val_256.tar", wrapped("places365", "."), "w"),
    "tiny_imagenet": lambda folder: make_zip(folder / f"{TINY_IMAGENET}.zip", wrapped("tiny_imagenet", TINY_IMAGENET)),
}


@pytest.fixture(autouse=True)
def tiny_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The published numbers of images, made small."""
    for verb, known in commands.FOLDER_SETS.items():
        monkeypatch.setitem(commands.FOLDER_SETS, verb, dataclasses.replace(known, count=4))
    monkeypatch.setattr(commands, "CORRUPTED_COUNT", 15)


def recipes_set(name: str, printed: str) -> Any:
    """The OOD data set as the recipe builds it, under the options of the printed command."""
    (line,) = [line for line in printed.splitlines() if line.startswith("next: ")]
    words = shlex.split(line.removeprefix("next: "))
    assert words[:5] == ["python", "tools/test.py", "ood_biggan_cifar10", "CKPT", "--cfg-options"]
    options = dict(word.split("=", 1) for word in words[5:])
    config = Config.fromfile(RECIPE)
    config.merge_from_dict({key: DictAction._parse_iterable(value) for key, value in options.items()})
    metric = config.test_evaluator.metrics[0]
    assert list(metric.only) == [name]
    return DATASETS.build(dict(metric.outside[name], pipeline=[]))


@pytest.mark.parametrize("verb", MAKERS)
def test_folders_are_unpacked_decoded_and_counted(verb: str, tmp_path: Path, prepare: Prepare) -> None:
    source, out = MAKERS[verb](tmp_path), tmp_path / "data" / "set"
    printed = prepare(verb, source, "--out", out)
    assert f"{source}: " in printed and f"{out}: 4 images, short side to 32" in printed
    assert len(recipes_set(verb, printed)) == 4
    assert not {path.name for path in out.rglob("*")} & {"imdb", "labels", "train", "test"}
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    prepare(verb, "--out", out)  # nothing is decoded again
    assert {path: path.stat().st_mtime_ns for path in before} == before
    prepare(verb, out, "--out", tmp_path / "linked")
    assert (tmp_path / "linked").resolve() == out


def test_unreadable_images_are_counted(tmp_path: Path, prepare: Prepare) -> None:
    source, out = MAKERS["dtd"](tmp_path), tmp_path / "out"
    prepare("dtd", source, "--out", out)
    next(out.rglob("*.jpg")).write_bytes(b"")
    assert "DTD must have 4 images, but got 3" in prepare("dtd", "--out", out, status=1)
    prepare("dtd", "--out", out, "--allow-partial")
    prepare("dtd", source, "--out", out)  # the archive replaces what is there


def test_svhn_is_copied_and_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prepare: Prepare) -> None:
    from torchvision.datasets import SVHN

    savemat = pytest.importorskip("scipy.io").savemat
    source, out = tmp_path / "test_32x32.mat", tmp_path / "data" / "out"
    images = RNG.integers(0, 256, (32, 32, 3, 5), dtype=np.uint8)
    savemat(source, dict(X=images, y=RNG.integers(1, 11, (5, 1), dtype=np.uint8)))
    published = [SVHN.split_list["test"][0], source.name, hashlib.md5(source.read_bytes()).hexdigest()]
    monkeypatch.setitem(SVHN.split_list, "test", published)
    printed = prepare("svhn", source, "--out", out)
    assert f"{source}: copied to {out}/test_32x32.mat" in printed and f"{out}/test_32x32.mat: 5 images" in printed
    assert len(recipes_set("svhn", printed)) == 5
    source.write_bytes(source.read_bytes() + b"other")
    for other in (source, tmp_path / "digits.mat"):
        assert "test_32x32.mat" in prepare("svhn", other, "--out", tmp_path / "fresh", status=1)


def test_cifar10_c_is_unpacked_and_every_file_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prepare: Prepare
) -> None:
    monkeypatch.chdir(tmp_path)
    members = {}
    for name in (*CORRUPTIONS, "labels"):
        buffer = io.BytesIO()
        np.save(buffer, RNG.integers(0, 10, (15,) if name == "labels" else (15, 32, 32, 3), dtype=np.uint8))
        members[f"CIFAR-10-C/{name}.npy"] = buffer.getvalue()
    printed = prepare("cifar10_c", make_tar(tmp_path / "CIFAR-10-C.tar", members, "w"))
    assert "data/CIFAR-10-C: 19 of 19 corruptions, 15 images of each" in printed
    assert "only=\"['cifar10_c']\"" in printed
    metric = Config.fromfile(RECIPE).test_evaluator.metrics[0]
    assert [len(DATASETS.build(dict(each, pipeline=[]))) for each in metric.outside.cifar10_c.values()] == [3] * 95

    Path("data", "CIFAR-10-C", "snow.npy").unlink()
    printed = prepare("cifar10_c", status=1)
    assert "18 of 19 corruptions, 15 images of each" in printed and "CIFAR-10-C.tar" in printed
    prepare("cifar10_c", "--allow-partial")
