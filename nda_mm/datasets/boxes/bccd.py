"""BCCD, photographs of blood with a box for each cell: unpacked from a zip that the user has, and looked through."""

from __future__ import annotations

import zipfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from nda_mm.datasets.files.unpacking import extract_member

from .box_checks import FILE_FAULTS, UNKNOWN_CLASS, FaultReport
from .voc_folder import read_voc

CLASSES = ("RBC", "WBC", "Platelets")
IMAGE_SETS = ("train", "val", "test", "trainval")
#: What a member's folder must be, and the endings that are taken from it.
_FOLDERS = {
    ("Annotations",): (".xml",),
    ("JPEGImages",): (".jpg", ".jpeg", ".png"),
    ("ImageSets", "Main"): (".txt",),
}


@dataclass(frozen=True)
class SplitCheck:
    """What one image set holds: ``boxes`` counts the good boxes by class, ``report`` has all that is wrong."""

    name: str
    images: int
    boxes: dict[str, int]
    report: FaultReport

    def is_usable(self) -> bool:
        """Whether the recipes take it as it is; they leave out faulty boxes by themselves."""
        return self.images > 0 and not self.report.count(*FILE_FAULTS, UNKNOWN_CLASS)

    def __str__(self) -> str:
        counts = ", ".join(f"{name} {count}" for name, count in self.boxes.items())
        return "\n  ".join([f"{self.name}: {self.images} images, boxes: {counts}", *self.report.lines()])


def unpack_voc(source: str | Path, out: str | Path) -> int:
    """Unpack the ``Annotations``, ``JPEGImages`` and ``ImageSets/Main`` of a zip file into ``out``.

    Whatever folders they are wrapped in do not count, so no member can leave ``out``; other members are passed over.
    Files that stand there with the right size are kept, so an interrupted run may be repeated.

    Args:
        source: The zip file.
        out: Folder to fill.

    Returns:
        Number of files in the zip that were taken.

    Raises:
        ValueError: If it is no zip file, is damaged, or lacks one of the three folders.
    """
    taken: Counter[tuple[str, ...]] = Counter()
    try:
        with zipfile.ZipFile(source) as archive:
            for info in archive.infolist():
                parts = PurePosixPath(info.filename.replace("\\", "/")).parts
                folder = next((names for names in _FOLDERS if parts[-len(names) - 1 : -1] == names), None)
                if folder is None or not _is_wanted(parts[-1], _FOLDERS[folder]):
                    continue
                extract_member(archive, info, Path(out, *folder, parts[-1]))
                taken[folder] += 1
    except (zipfile.BadZipFile, EOFError) as error:
        raise ValueError(f"'{source}' is truncated or no zip file: {error}") from error
    except (RuntimeError, NotImplementedError) as error:  # a password, or a compression that Python lacks
        raise ValueError(f"'{source}' cannot be unpacked: {error}") from error
    absent = ["/".join(folder) for folder in _FOLDERS if not taken[folder]]
    if absent:
        raise ValueError(f"'{source}' is not in PASCAL VOC's layout: it has no files in {', '.join(absent)}")
    return sum(taken.values())


def _is_wanted(name: str, endings: tuple[str, ...]) -> bool:
    return not name.startswith(".") and name.lower().endswith(endings)


def check_bccd(root: str | Path) -> list[SplitCheck]:
    """Look at every image, annotation and box of BCCD, decoding the images.

    Args:
        root: Folder with ``Annotations``, ``JPEGImages`` and ``ImageSets/Main``.

    Returns:
        One entry for each of train, val, test and trainval that is there.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If a set names no images, or one twice.
    """
    root = Path(root)
    names = [name for name in IMAGE_SETS if (root / "ImageSets" / "Main" / f"{name}.txt").is_file()]
    if not names:
        raise FileNotFoundError(f"'{root}' holds no ImageSets/Main/train.txt, val.txt, test.txt or trainval.txt")
    checks = []
    for name in names:
        report = FaultReport(str(root))
        images = read_voc(root, root / "ImageSets" / "Main" / f"{name}.txt", CLASSES, report, decode=True)
        counts = Counter(item.name for image in images for item in image.objects)
        checks.append(SplitCheck(name, len(images), {name: counts[name] for name in CLASSES}, report))
    return checks


def refuse_unusable(checks: Sequence[SplitCheck]) -> None:
    """Raise if the recipes would not take a set as it is.

    Args:
        checks: From :func:`check_bccd`.

    Raises:
        ValueError: With the names of those sets, and what to do.
    """
    unusable = [check.name for check in checks if not check.is_usable()]
    if unusable:
        raise ValueError(
            f"the recipes refuse {', '.join(unusable)} as it is; mend the files named above, or set bad_files='skip' "
            "or unknown_classes='skip' in the recipe's data sets"
        )
