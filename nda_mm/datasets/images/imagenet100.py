"""The 100 classes of ImageNet-100, linked from a folder of ImageNet."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from nda_mm.utils.files import printable

__all__ = ["LinkedClasses", "imagenet100_classes", "link_classes"]

_SPLITS = ("train", "val")


@dataclass(frozen=True)
class LinkedClasses:
    """What :func:`link_classes` has done: links made, and links that stood there already."""

    made: int
    kept: int


def imagenet100_classes() -> tuple[str, ...]:
    """The WordNet ids of ImageNet-100, in the order of their folders, which is that of the labels.

    Source: Tian et al., "Contrastive Multiview Coding", ECCV 2020, https://arxiv.org/abs/1906.05849; the list is the
    ``imagenet100.txt`` of https://github.com/HobbitLong/CMC at commit bc687a2, sorted.

    Returns:
        100 ids.

    Example:
        >>> len(imagenet100_classes()), imagenet100_classes()[0]
        (100, 'n01558993')
    """
    text = (files("nda_mm.datasets.images") / "imagenet100.txt").read_text(encoding="utf-8")
    return tuple(text.split())


def link_classes(source: Path, out: Path, classes: tuple[str, ...] | list[str]) -> LinkedClasses:
    """Make ``out/train`` and ``out/val`` of links to the class folders of ``source``.

    All is looked at before anything is written. Links that are there already and lead to the right folder are kept, so
    that it may be run again, as after a part of the classes was added.

    Args:
        source: Holds ``train`` and ``val``, with one folder of images for each class.
        out: Gets links of the same names; must not lie in ``source``'s splits.
        classes: Names of the folders.

    Returns:
        How many links were made and kept.

    Raises:
        FileNotFoundError: If splits or classes are missing or empty; each is named.
        FileExistsError: If a file, a folder or a link elsewhere stands where a link should; nothing is overwritten.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for split in ("train", "val"):
        ...         image = Path(folder, "imagenet", split, "n01558993", "1.JPEG")
        ...         image.parent.mkdir(parents=True)
        ...         image.touch()
        ...     link_classes(Path(folder, "imagenet"), Path(folder, "subset"), ["n01558993"])
        LinkedClasses(made=2, kept=0)
    """
    source, out = source.resolve(), out.absolute()
    _refuse_missing(source, classes)
    links = {out / split / name: source / split / name for split in _SPLITS for name in classes}
    _refuse_what_is_in_the_way(out, links)
    made = 0
    for link, target in links.items():
        if link.is_symlink():
            continue
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(target, target_is_directory=True)
        made += 1
    return LinkedClasses(made, len(links) - made)


def _refuse_missing(source: Path, classes: tuple[str, ...] | list[str]) -> None:
    absent = [split for split in _SPLITS if not (source / split).is_dir()]
    if absent:
        raise FileNotFoundError(
            f"{source} must hold the folders train and val, each with one folder of images for each class, but has no "
            f"{' and no '.join(absent)}"
        )
    faults = []
    for split in _SPLITS:
        missing = [name for name in classes if not (source / split / name).is_dir()]
        empty = [name for name in classes if name not in missing and not any(os.scandir(source / split / name))]
        faults += [f"{split} has no {', '.join(missing)}"] if missing else []
        faults += [f"in {split} there is nothing in {', '.join(empty)}"] if empty else []
    if faults:
        hint = ""
        if any((source / "val").glob("*.JPEG")):
            hint = "; its validation images lie in one folder, sort them into class folders first"
        raise FileNotFoundError(f"{source} lacks classes: {'; '.join(faults)}{hint}")


def _refuse_what_is_in_the_way(out: Path, links: dict[Path, Path]) -> None:
    wrong = [
        str(link)
        for link, target in links.items()
        if (link.is_symlink() and link.resolve() != target.resolve()) or (link.exists() and not link.is_symlink())
    ]
    surplus = [
        printable(entry)
        for split in _SPLITS
        if (out / split).is_dir()
        for entry in (out / split).iterdir()
        if entry not in links
    ]
    if wrong or surplus:
        shown = ", ".join([*wrong, *surplus][:5])
        raise FileExistsError(
            f"{len(wrong) + len(surplus)} entries in {out} are none of the links to make ({shown}); nothing was "
            "changed. Remove them, or choose another folder."
        )
