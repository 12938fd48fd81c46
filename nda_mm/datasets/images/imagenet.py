"""Lists of ImageNet's images that can be read, in the format of mmagic's and mmpretrain's readers."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nda_mm.datasets.decoding import fingerprint, is_image, open_image
from nda_mm.utils.files import link_folder, printable, subfolders, write_text_atomically

__all__ = ["ImageNetReport", "prepare_imagenet"]

CLASSES = 1000
_SPLITS = ("train", "val")


@dataclass
class ImageNetReport:
    """What :func:`prepare_imagenet` has listed, and what it left out and why."""

    listed: dict[str, int] = field(default_factory=dict)
    bad: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def lines(self, most: int = 20) -> list[str]:
        """One line for each list and note, and one for the unreadable images, of which it names the first ``most``."""
        lines = [f"{path}: {count} images" for path, count in self.listed.items()] + self.notes
        if self.bad:
            named = "; ".join(f"{name} ({reason})" for name, reason in self.bad[:most])
            rest = f"; and {len(self.bad) - most} more" if len(self.bad) > most else ""
            lines.append(f"{len(self.bad)} x cannot be read, left out: {named}{rest}")
        return lines


def prepare_imagenet(
    source: Path,
    out: Path,
    *,
    allow_partial: bool = False,
    workers: int = 1,
    progress: Callable[[str, int, int], Any] | None = None,
) -> ImageNetReport:
    """Link ImageNet to where the recipes look, look at every image once, and list those that can be read.

    ``out/train`` and ``out/val`` become links, ``out/meta/train.txt`` and ``out/meta/val.txt`` name in each line an
    image and the number of its class, which is the place of its folder (n01440764, ...) in alphabetical order. What was
    found in a folder is kept beside them, so that a second run opens only images of folders that have changed.

    Args:
        source: Holds ``train`` and, if at hand, ``val``, each with one folder of images for each class.
        out: Where the recipes look: ``data/imagenet``; may be ``source``.
        allow_partial: Accept other than 1,000 classes.
        workers: Number of threads that decode.
        progress: Called with the split, the number of classes looked at and the number of all.

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
            "given out at https://image-net.org to those who register"
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
            raise FileNotFoundError(f"'{source / split}' has classes that train has not: {', '.join(strange[:5])}")
        if not names:
            report.notes.append(f"{source / split} has no class folders: there is no list of it")
            continue
        link_folder(source / split, out / split)
        _list_split(out, split, names, {name: label for label, name in enumerate(train)}, workers, progress, report)
    return report


def _list_split(
    out: Path,
    split: str,
    names: list[str],
    labels: dict[str, int],
    workers: int,
    progress: Callable[[str, int, int], Any] | None,
    report: ImageNetReport,
) -> None:
    record = out / "meta" / f".{split}_looked_at.json"
    known = _read_record(record)
    lines: list[str] = []
    with ThreadPoolExecutor(max_workers=workers) as pool:
        for number, name in enumerate(names, 1):
            folder = out / split / name
            files = sorted(path for path in folder.iterdir() if is_image(path.name))
            stamp = fingerprint(files, folder)
            if known.get(name, {}).get("stamp") != stamp:
                faults = pool.map(_fault, files)
                bad = {path.name: fault for path, fault in zip(files, faults, strict=True) if fault}
                known[name] = {"stamp": stamp, "bad": bad}
                write_text_atomically(record, json.dumps(known))  # an interrupted run goes on from here
            bad = known[name]["bad"]
            report.bad += [(printable(f"{split}/{name}/{file}"), fault) for file, fault in bad.items()]
            lines += [f"{name}/{path.name} {labels[name]}\n" for path in files if path.name not in bad]
            if progress is not None:
                progress(split, number, len(names))
    if not lines:
        raise ValueError(f"of '{out / split}' no image can be read:\n  " + "\n  ".join(report.lines()))
    path = out / "meta" / f"{split}.txt"
    write_text_atomically(path, "".join(lines))
    report.listed[str(path)] = len(lines)


def _fault(path: Path) -> str:
    """Why an image can't be read; '' if it can. All of the file is decoded, at the least resolution JPEG allows."""
    try:
        with open_image(path) as image:
            image.draft("RGB", (32, 32))
            image.load()
    except MemoryError:
        raise
    except Exception as error:  # whatever a decoder makes of a damaged file
        return f"{type(error).__name__}: {error}"
    return ""


def _read_record(record: Path) -> dict[str, Any]:
    try:
        known = json.loads(record.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}
