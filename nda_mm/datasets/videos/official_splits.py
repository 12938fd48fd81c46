"""The official lists of UCF101."""

from __future__ import annotations

import re
from pathlib import Path

from nda_mm.utils.files import read_text

from .lists import OfficialSplits

_NUM_CLASSES = 101


def read_ucf101_splits(folder: str | Path) -> OfficialSplits:
    """Read the three splits of UCF101 for action recognition.

    Source: Soomro et al., "UCF101: A Dataset of 101 Human Actions Classes From Videos in The Wild", 2012,
    https://arxiv.org/abs/1212.0402; the lists are at https://www.crcv.ucf.edu/data/UCF101.php.

    Args:
        folder: Holds ``classInd.txt`` and, for 01 to 03, ``trainlist01.txt`` and ``testlist01.txt``, at any depth: the
            archive's ``ucfTrainTestlist``, or mmaction2's ``annotations``.

    Returns:
        The lists, those for testing called 'val' as in mmaction2; label 0 is ApplyEyeMakeup.

    Raises:
        FileNotFoundError: If one of the seven files is missing.
        ValueError: If the classes are not 101, or a line cannot be understood.
    """
    folder = Path(folder)
    index = next(iter(sorted(folder.rglob("classInd.txt"))), None)
    names = ["classInd.txt", *(f"{kind}list0{split}.txt" for split in (1, 2, 3) for kind in ("train", "test"))]
    missing = [name for name in names if index is None or not index.with_name(name).is_file()]
    if index is None or missing:
        where = folder if index is None else index.parent
        raise FileNotFoundError(
            f"{where} has no {', '.join(missing)}; unpack UCF101TrainTestSplits-RecognitionTask.zip there "
            "(https://www.crcv.ucf.edu/data/UCF101.php), or name its folder by --annotations"
        )
    classes = _read_classes(index)
    lists = {
        f"{ours}_split_{split}": _read_list(index.with_name(f"{theirs}list0{split}.txt"), classes)
        for split in (1, 2, 3)
        for theirs, ours in (("train", "train"), ("test", "val"))
    }
    return OfficialSplits("ucf101", classes, lists)


def _read_classes(index: Path) -> tuple[str, ...]:
    rows = [line.split() for line in read_text(index).splitlines() if line.strip()]
    numbers = [row[0] for row in rows]
    if any(len(row) != 2 for row in rows) or numbers != [str(number + 1) for number in range(_NUM_CLASSES)]:
        raise ValueError(
            f"{index} must number {_NUM_CLASSES} classes from 1 on, as '1 ApplyEyeMakeup', but has {len(rows)} lines"
            + (f", from {' '.join(rows[0])!r} to {' '.join(rows[-1])!r}" if rows else "")
        )
    return tuple(row[1] for row in rows)


def _read_list(path: Path, classes: tuple[str, ...]) -> list[str]:
    keys = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if not line.strip():
            continue
        name, _, file = re.sub(r"\s+\d+$", "", line.strip()).partition("/")
        if name not in classes or not file:
            raise ValueError(f"{path}, line {number}: expected CLASS/FILE of a class in classInd.txt, but got {line!r}")
        keys.append(f"{name}/{Path(file).stem}")
    return keys
