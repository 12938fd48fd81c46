"""BCCD, photographs of blood with a box for each cell: unpacked from a zip that the user has, and looked through."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from .checks import FILE_FAULTS, UNKNOWN_CLASS, FaultReport
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


def place_voc(parts: tuple[str, ...]) -> PurePosixPath | None:
    """Where a member of an archive in PASCAL VOC's layout belongs, whatever folders it is wrapped in.

    Example:
        >>> place_voc(("BCCD_Dataset-master", "BCCD", "JPEGImages", "a.jpg")), place_voc(("BCCD", "README.md"))
        (PurePosixPath('JPEGImages/a.jpg'), None)
    """
    folder = next((names for names in _FOLDERS if parts[-len(names) - 1 : -1] == names), None)
    wanted = folder and not parts[-1].startswith(".") and parts[-1].lower().endswith(_FOLDERS[folder])
    return PurePosixPath(*folder, parts[-1]) if folder and wanted else None


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
