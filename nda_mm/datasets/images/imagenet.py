"""ImageNet: lists of its readable images, and the 100 classes of ImageNet-100 as links."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from pathlib import Path

from nda_mm.datasets.decoding import fingerprint, image_size, is_image, read_record
from nda_mm.datasets.report import FileReport, track
from nda_mm.utils.files import link_folder, subfolders, write_text_atomically
from nda_mm.utils.messages import shorten

CLASSES = 1000
_SPLITS = ("train", "val")


def prepare_imagenet(source: Path, out: Path, *, allow_partial: bool = False, workers: int = 1) -> FileReport:
    """Link ImageNet into the folder that the recipes read, decode every image once, and list the readable ones.

    ``out/train`` and ``out/val`` become links. Each line of ``out/meta/train.txt`` and ``out/meta/val.txt`` names an
    image and the number of its class, which is the position of its folder (n01440764, ...) in alphabetical order. The
    results are stored next to these lists, so that another run opens only the images of folders that have changed.

    Args:
        source: Folder with ``train`` and, optionally, ``val``, each with one folder of images for each class.
        out: Folder that the recipes read, ``data/imagenet``; may be ``source``.
        allow_partial: Whether to accept a number of classes other than 1,000.
        workers: Number of decoding threads.

    Returns:
        Report of what was listed and left out.

    Raises:
        FileNotFoundError: If ``train`` has no class folders, or ``val`` has a class that ``train`` does not have.
        FileExistsError: If something else exists in place of a link.
        ValueError: If the number of classes is not 1,000, or no image can be read.
    """
    # The classes are the folders of the training split.
    train = subfolders(source / "train")
    if not train:
        raise FileNotFoundError(
            f"'{source}' must have the folder train with one folder of images for each class (n01440764, ...): unpack "
            "ILSVRC2012_img_train.tar and each of the 1,000 archives in it into a folder of its name"
        )
    if len(train) != CLASSES and not allow_partial:
        raise ValueError(
            f"'{source / 'train'}' has {len(train)} class folders instead of {CLASSES} (--allow-partial accepts this; "
            "then set num_classes in the model, its generator and its discriminator)"
        )

    # Write one list for each split that exists.
    report = FileReport()
    for split in _SPLITS:
        names = subfolders(source / split)
        if strange := sorted(set(names) - set(train)):
            raise FileNotFoundError(f"'{source / split}' has classes that train does not have: {shorten(strange)}")
        if not names:
            report.notes.append(f"{source / split} has no class folders, so no list is written for it")
            continue
        link_folder(source / split, out / split)
        _list_split(out, split, names, {name: label for label, name in enumerate(train)}, workers, report)
    return report


def _list_split(
    out: Path, split: str, names: list[str], labels: dict[str, int], workers: int, report: FileReport
) -> None:
    record = out / "meta" / f".{split}_looked_at.json"
    known = read_record(record)
    lines: list[str] = []
    # The images of a class are decoded only if its folder has changed since an earlier run.
    with ThreadPoolExecutor(max_workers=workers) as pool:
        for name in track(names, f"reading {split}", "classes"):
            folder = out / split / name
            images = sorted(path for path in folder.iterdir() if is_image(path.name))
            stamp = fingerprint(images, folder)
            if known.get(name, {}).get("stamp") != stamp:
                faults = pool.map(_fault, images)
                bad = {path.name: fault for path, fault in zip(images, faults, strict=True) if fault}
                known[name] = {"stamp": stamp, "bad": bad}
                write_text_atomically(record, json.dumps(known))  # an interrupted run continues from here
            bad = known[name]["bad"]
            for file, fault in bad.items():
                report.add("cannot be read, left out", f"{split}/{name}/{file}", fault)
            lines += [f"{name}/{path.name} {labels[name]}\n" for path in images if path.name not in bad]
    if not lines:
        raise ValueError(f"no image of '{out / split}' can be read:\n  " + "\n  ".join(report.lines()))
    path = out / "meta" / f"{split}.txt"
    write_text_atomically(path, "".join(lines))
    report.notes.append(f"{path}: {len(lines)} images")


def _fault(path: Path) -> str:
    """Return why an image cannot be read, or '' if it can."""
    try:
        image_size(path)
    except OSError as error:
        return str(error)
    return ""


def imagenet100_classes() -> tuple[str, ...]:
    """Return the WordNet ids of ImageNet-100, in the order of their folders and labels.

    Source: Tian et al., "Contrastive Multiview Coding", ECCV 2020, https://arxiv.org/abs/1906.05849; the list is the
    ``imagenet100.txt`` of https://github.com/HobbitLong/CMC at commit bc687a2, sorted.

    Returns:
        The 100 ids.

    Example:
        >>> len(imagenet100_classes()), imagenet100_classes()[0]
        (100, 'n01558993')
    """
    text = (files("nda_mm.datasets.images") / "imagenet100.txt").read_text(encoding="utf-8")
    return tuple(text.split())


def link_classes(source: Path, out: Path, classes: Sequence[str]) -> int:
    """Fill ``out/train`` and ``out/val`` with links to the class folders of ``source``; existing links are kept.

    Args:
        source: Folder with ``train`` and ``val``, each with one folder of images for each class.
        out: Folder of the links.
        classes: Names of the class folders to link.

    Returns:
        Number of links.

    Raises:
        FileNotFoundError: If splits or classes are missing or empty.
        FileExistsError: If ``out`` contains folders other than these links.

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
    wanted = [(split, name) for split in _SPLITS for name in classes]
    empty = [f"{split}/{name}" for split, name in wanted if not any((source / split / name).glob("*"))]
    if empty:
        raise FileNotFoundError(f"'{source}' has no images in {shorten(empty)}")
    for split in _SPLITS:
        if surplus := sorted(set(subfolders(out / split)) - set(classes)):
            raise FileExistsError(f"'{out / split}' contains other folders: {shorten(surplus)}; remove them")
    for split, name in wanted:
        link_folder(source / split / name, out / split / name)
    return len(wanted)
