"""The list of ImageNet-100, and its links."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from nda_mm.datasets.images.imagenet100 import LinkedClasses, imagenet100_classes, link_classes

CLASSES = ("n01", "n02", "n03")


@pytest.fixture
def imagenet(tmp_path: Path) -> Path:
    """Four classes of one image; the fourth is not wanted."""
    for split in ("train", "val"):
        for name in (*CLASSES, "n04"):
            folder = tmp_path / "imagenet" / split / name
            folder.mkdir(parents=True)
            (folder / f"{name}_{split}.JPEG").write_text(name)
    return tmp_path / "imagenet"


def tree(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in sorted(folder.rglob("*/*/*.JPEG"))}


def test_the_list_is_cmcs() -> None:
    classes = imagenet100_classes()
    assert len(set(classes)) == 100
    assert list(classes) == sorted(classes)
    assert all(re.fullmatch(r"n\d{8}", name) for name in classes)
    # The first and last of the published file, which is not sorted, and a digest of all.
    assert {"n02869837", "n02090622"} <= set(classes)
    assert (
        hashlib.sha256("\n".join(classes).encode()).hexdigest()
        == "d61d354b64beb3ce2c2c9cf04a874298362dc9fcd589e15ee34c5e4592145746"
    )


def test_links_lead_to_the_classes_alone_and_may_be_made_again(imagenet: Path, tmp_path: Path) -> None:
    out = tmp_path / "subset"
    assert link_classes(imagenet, out, CLASSES[:2]) == LinkedClasses(made=4, kept=0)
    assert link_classes(imagenet, out, CLASSES[:2]) == LinkedClasses(made=0, kept=4)
    assert link_classes(imagenet, out, CLASSES) == LinkedClasses(made=2, kept=4)
    for split in ("train", "val"):
        assert sorted(path.name for path in (out / split).iterdir()) == list(CLASSES)
        for name in CLASSES:
            assert (out / split / name).is_symlink()
            assert (out / split / name / f"{name}_{split}.JPEG").read_text() == name


def test_a_source_given_relatively_is_found_from_anywhere(
    imagenet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    link_classes(Path("imagenet"), Path("subset"), CLASSES)
    monkeypatch.chdir("/")
    assert (tmp_path / "subset" / "val" / "n02" / "n02_val.JPEG").read_text() == "n02"


def test_missing_and_empty_classes_are_all_named_and_nothing_is_written(imagenet: Path, tmp_path: Path) -> None:
    (imagenet / "val" / "n02" / "n02_val.JPEG").unlink()
    with pytest.raises(
        FileNotFoundError, match=r"train has no n08, n09; val has no n08, n09; in val .* nothing in n02$"
    ):
        link_classes(imagenet, tmp_path / "subset", ("n01", "n02", "n08", "n09"))
    assert not (tmp_path / "subset").exists()


def test_validation_images_in_one_folder_are_explained(imagenet: Path, tmp_path: Path) -> None:
    for name in CLASSES:
        (imagenet / "val" / name / f"{name}_val.JPEG").rename(imagenet / "val" / f"{name}.JPEG")
    with pytest.raises(FileNotFoundError, match="lie in one folder, sort them into class folders first"):
        link_classes(imagenet, tmp_path / "subset", CLASSES)


def test_a_folder_without_splits_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    with pytest.raises(FileNotFoundError, match=r"must hold the folders train and val.* but has no val"):
        link_classes(tmp_path, tmp_path / "subset", CLASSES)


@pytest.mark.parametrize("kind", ["file", "folder", "link elsewhere", "another class"])
def test_what_is_in_the_way_is_never_overwritten(imagenet: Path, tmp_path: Path, kind: str) -> None:
    place = tmp_path / "subset" / "train" / ("n07" if kind == "another class" else "n02")
    place.parent.mkdir(parents=True)
    if kind == "file":
        place.write_text("mine")
    elif kind == "link elsewhere":
        place.symlink_to(imagenet / "train" / "n01")
    else:
        place.mkdir()
        (place / "mine.JPEG").write_text("mine")
    before = tree(tmp_path / "subset")
    with pytest.raises(FileExistsError, match=f"1 entries in .*{place.name}\\); nothing was changed"):
        link_classes(imagenet, tmp_path / "subset", CLASSES)
    assert tree(tmp_path / "subset") == before
    assert not (tmp_path / "subset" / "train" / "n01").exists()


@pytest.mark.slow
def test_the_tool(imagenet: Path, tmp_path: Path, project_root: Path) -> None:
    import subprocess
    import sys

    (tmp_path / "mine.txt").write_text("\n".join(CLASSES))

    def run(*words: str) -> subprocess.CompletedProcess:
        command = [sys.executable, str(project_root / "tools" / "make_imagenet100.py"), str(imagenet), *words]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    done = run("--out", str(tmp_path / "subset"), "--classes", str(tmp_path / "mine.txt"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("train and val of 3 classes; 6 links made, 0 were there\n")
    refused = run("--out", str(tmp_path / "other"))
    assert refused.returncode == 1
    assert "lacks classes: train has no n01558993" in refused.stderr
