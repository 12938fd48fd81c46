"""ImageNet: lists of the images that can be read, and the 100 classes of ImageNet-100 as links."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

from nda_mm.datasets.decoding import fingerprint, image_size, is_image, read_record
from nda_mm.utils.files import link_folder, printable, subfolders, write_text_atomically
from nda_mm.utils.messages import Progress, shorten

__all__ = ["ImageNetReport", "imagenet100_classes", "link_classes", "prepare_imagenet"]

CLASSES = 1000
_SPLITS = ("train", "val")


@dataclass
class ImageNetReport:
    """What :func:`prepare_imagenet` has listed, and what it left out and why."""

    listed: dict[str, int] = field(default_factory=dict)
    bad: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """One line for each list and note, and one for the unreadable images."""
        lines = [f"{path}: {count} images" for path, count in self.listed.items()] + self.notes
        if self.bad:
            named = shorten([f"{name} ({reason})" for name, reason in self.bad], limit=20, separator="; ")
            lines.append(f"{len(self.bad)} x cannot be read, left out: {named}")
        return lines


def prepare_imagenet(source: Path, out: Path, *, allow_partial: bool = False, workers: int = 1) -> ImageNetReport:
    """Link ImageNet to where the recipes look, decode every image once, and list those that can be read.

    ``out/train`` and ``out/val`` become links, ``out/meta/train.txt`` and ``out/meta/val.txt`` name in each line an
    image and the number of its class, which is the place of its folder (n01440764, ...) in alphabetical order. The
    results are kept beside them, so that another run opens only images of folders that have changed.

    Args:
        source: Holds ``train`` and, optionally, ``val``, each with one folder of images for each class.
        out: Where the recipes look: ``data/imagenet``; may be ``source``.
        allow_partial: Accept other than 1,000 classes.
        workers: Number of threads that decode.

    Returns:
        What was listed and left out.

    Raises:
        FileNotFoundError: If there is no ``train`` with class folders, or a class of ``val`` is none of ``train``'s.
        FileExistsError: If something else stands where a link should.
        ValueError: If the number of classes is not 1,000, or no image can be read.
    """
    if workers < 1:
        raise ValueError(f"workers must be at least 1, but got {workers}")
    train = subfolders(source / "train")
    if not train:
        raise FileNotFoundError(
            f"'{source}' must hold the folder train with one folder of images for each class (n01440764, ...); unpack "
            "ILSVRC2012_img_train.tar and each of the 1,000 archives in it into a folder of its name. The data are "
            "available at https://image-net.org after registration"
        )
    if len(train) != CLASSES and not allow_partial:
        raise ValueError(
            f"'{source / 'train'}' has {len(train)} class folders, not {CLASSES} (--allow-partial accepts that; set "
            "num_classes in the model, its generator and its discriminator then)"
        )
    report = ImageNetReport()
    for split in _SPLITS:
        names = subfolders(source / split)
        if strange := sorted(set(names) - set(train)):
            raise FileNotFoundError(f"'{source / split}' has classes that train has not: {shorten(strange)}")
        if not names:
            report.notes.append(f"{source / split} has no class folders: there is no list of it")
            continue
        link_folder(source / split, out / split)
        _list_split(out, split, names, {name: label for label, name in enumerate(train)}, workers, report)
    return report


def _list_split(
    out: Path, split: str, names: list[str], labels: dict[str, int], workers: int, report: ImageNetReport
) -> None:
    record = out / "meta" / f".{split}_looked_at.json"
    known = read_record(record)
    lines: list[str] = []
    with (
        ThreadPoolExecutor(max_workers=workers) as pool,
        Progress(f"reading {split}", len(names), "classes") as progress,
    ):
        for number, name in enumerate(names, 1):
            folder = out / split / name
            images = sorted(path for path in folder.iterdir() if is_image(path.name))
            stamp = fingerprint(images, folder)
            if known.get(name, {}).get("stamp") != stamp:
                faults = pool.map(_fault, images)
                bad = {path.name: fault for path, fault in zip(images, faults, strict=True) if fault}
                known[name] = {"stamp": stamp, "bad": bad}
                write_text_atomically(record, json.dumps(known))  # an interrupted run continues from here
            bad = known[name]["bad"]
            report.bad += [(printable(f"{split}/{name}/{file}"), fault) for file, fault in bad.items()]
            lines += [f"{name}/{path.name} {labels[name]}\n" for path in images if path.name not in bad]
            progress.update(number)
    if not lines:
        raise ValueError(f"no image of '{out / split}' can be read:\n  " + "\n  ".join(report.lines()))
    path = out / "meta" / f"{split}.txt"
    write_text_atomically(path, "".join(lines))
    report.listed[str(path)] = len(lines)


def _fault(path: Path) -> str:
    """Why an image cannot be read; '' if it can."""
    try:
        image_size(path)
    except OSError as error:
        return str(error)
    return ""


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


def link_classes(source: Path, out: Path, classes: Sequence[str]) -> int:
    """Make ``out/train`` and ``out/val`` of links to the class folders of ``source``; links that are there are kept.

    Args:
        source: Holds ``train`` and ``val``, with one folder of images for each class.
        out: The folder of the links.
        classes: Names of the folders.

    Returns:
        The number of links.

    Raises:
        FileNotFoundError: If splits or classes are missing or empty; each is named, and nothing is written.
        FileExistsError: If ``out`` holds anything but these links; nothing is written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for split in ("train", "val"):
        ...         image = Path(folder, "imagenet", split, "n01558993", "1.JPEG")
        ...         image.parent.mkdir(parents=True)
        ...         image.touch()
        ...     link_classes(Path(folder, "imagenet"), Path(folder, "subset"), ["n01558993"])
        2
    """
    faults = []
    for split in _SPLITS:
        folders = set(subfolders(source / split))
        missing = [name for name in classes if name not in folders]
        empty = [name for name in classes if name in folders and not any(os.scandir(source / split / name))]
        if missing:
            faults.append(f"'{source / split}' has no folder {', '.join(missing)}")
        if empty:
            faults.append(f"in '{source / split}' nothing is in {', '.join(empty)}")
    if faults:
        raise FileNotFoundError(
            f"{'; '.join(faults)}. It must hold train and val, each with one folder of images for each class"
        )
    links = {out / split / name: source / split / name for split in _SPLITS for name in classes}
    there = [entry for split in _SPLITS if (out / split).is_dir() for entry in (out / split).iterdir()]
    leads_to = {link: os.path.realpath(folder) for link, folder in links.items()}
    strange = [printable(entry) for entry in there if leads_to.get(entry) != os.path.realpath(entry)]
    if strange:
        raise FileExistsError(
            f"{len(strange)} entries in '{out}' are none of the links to make ({shorten(strange)}). Remove them, or "
            "choose another folder"
        )
    for link, folder in links.items():
        link_folder(folder, link)
    return len(links)
