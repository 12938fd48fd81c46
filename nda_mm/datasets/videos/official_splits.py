"""The official splits of UCF101 and HMDB51, read from the files that their authors publish."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from nda_mm.datasets.decoding import read_lines
from nda_mm.utils.messages import shorten

_UCF_CLASSES, _HMDB_CLASSES = 101, 51
#: Meaning of the numbers in HMDB51's files; 0 marks a video that a split does not use.
_HMDB_USES = {"1": "train", "2": "val"}


@dataclass(frozen=True)
class OfficialSplits:
    """Official splits of a data set, as published by its authors.

    Args:
        name: Name of the data set in mmaction2.
        classes: Class names in the order of their labels.
        lists: Videos as 'Class/name' without file extension, by split: 'train_split_1', 'val_split_1' and so on.
    """

    name: str
    classes: tuple[str, ...]
    lists: dict[str, list[str]]


def read_ucf101_splits(folder: str | Path) -> OfficialSplits:
    """Read the three splits of UCF101 for action recognition.

    Source: Soomro et al., "UCF101: A Dataset of 101 Human Actions Classes From Videos in The Wild", 2012,
    https://arxiv.org/abs/1212.0402; the lists are at https://www.crcv.ucf.edu/data/UCF101.php.

    Args:
        folder: Folder that contains ``classInd.txt`` and, for 01 to 03, ``trainlist01.txt`` and ``testlist01.txt``, at
            any depth: the archive's ``ucfTrainTestlist``, or mmaction2's ``annotations``.

    Returns:
        The splits. Test splits are called 'val', as in mmaction2; label 0 is ApplyEyeMakeup.

    Raises:
        FileNotFoundError: If one of the seven files is missing.
        ValueError: If there are not exactly 101 classes, or a line is invalid.
    """
    found = sorted(Path(folder).rglob("classInd.txt"))
    there = found[0].parent if found else Path(folder)
    files = {
        f"{ours}_split_{split}": there / f"{theirs}list0{split}.txt"
        for split in (1, 2, 3)
        for theirs, ours in (("train", "train"), ("test", "val"))
    }
    missing = [path.name for path in (there / "classInd.txt", *files.values()) if not path.is_file()]
    if missing:
        raise FileNotFoundError(
            f"{there} has no {shorten(missing)}; unpack UCF101TrainTestSplits-RecognitionTask.zip there, or set "
            "--annotations"
        )
    classes = _read_classes(there / "classInd.txt")
    lists = {split: _read_ucf_list(path, classes) for split, path in files.items()}
    return OfficialSplits("ucf101", classes, lists)


def _read_classes(index: Path) -> tuple[str, ...]:
    rows = [line.split() for _, line in read_lines(index)]
    numbers = [row[0] for row in rows]
    if any(len(row) != 2 for row in rows) or numbers != [str(number + 1) for number in range(_UCF_CLASSES)]:
        raise ValueError(
            f"{index} must number {_UCF_CLASSES} classes from 1, such as '1 ApplyEyeMakeup', but got {len(rows)} lines"
        )
    return tuple(row[1] for row in rows)


def _read_ucf_list(path: Path, classes: tuple[str, ...]) -> list[str]:
    keys = []
    for number, line in read_lines(path):
        name, _, file = re.sub(r"\s+\d+$", "", line).partition("/")
        if name not in classes or not file:
            raise ValueError(f"{path}, line {number}: expected CLASS/FILE of a class in classInd.txt, but got {line!r}")
        keys.append(f"{name}/{Path(file).stem}")
    return keys


def read_hmdb51_splits(folder: str | Path) -> OfficialSplits:
    """Read the three splits of HMDB51.

    Source: Kuehne et al., "HMDB: A Large Video Database for Human Motion Recognition", ICCV 2011,
    https://doi.org/10.1109/ICCV.2011.6126543; the lists are ``test_train_splits.rar`` at
    https://serre-lab.clps.brown.edu/resource/hmdb-a-large-human-motion-database/.

    Args:
        folder: Folder that contains ``CLASS_test_split1.txt`` to ``3`` for each of 51 classes, at any depth: the
            archive's ``testTrainMulti_7030_splits``, or mmaction2's ``annotations``.

    Returns:
        The splits. Test splits are called 'val', and labels follow the alphabetical order of the classes, as in
        mmaction2.

    Raises:
        FileNotFoundError: If files are missing.
        ValueError: If a line is invalid.
    """
    files: dict[tuple[str, str], Path] = {}
    for path in sorted(Path(folder).rglob("[!.]*_test_split[123].txt")):
        name, _, split = path.stem.rpartition("_test_split")
        files.setdefault((name, split), path)
    classes = tuple(sorted({name for name, _ in files}))
    missing = [f"{name}_test_split{split}.txt" for name in classes for split in "123" if (name, split) not in files]
    if len(classes) != _HMDB_CLASSES or missing:
        raise FileNotFoundError(
            f"{folder} must have CLASS_test_split1.txt to 3 for {_HMDB_CLASSES} classes, but got "
            f"{len(classes)} classes (missing files: {shorten(missing)}); unpack test_train_splits.rar there, or "
            "set --annotations"
        )
    lists: dict[str, list[str]] = {f"{use}_split_{split}": [] for split in "123" for use in ("train", "val")}
    for (name, split), path in sorted(files.items()):
        for key, use in _read_hmdb_list(path, name):
            if use in _HMDB_USES:
                lists[f"{_HMDB_USES[use]}_split_{split}"].append(key)
    return OfficialSplits("hmdb51", classes, lists)


def _read_hmdb_list(path: Path, name: str) -> list[tuple[str, str]]:
    rows = []
    for number, line in read_lines(path):
        file, _, use = line.rpartition(" ")
        if not file or use not in ("0", "1", "2"):
            raise ValueError(f"{path}, line {number}: expected FILE.avi and 0, 1 or 2, but got {line!r}")
        rows.append((f"{name}/{Path(file.strip()).stem}", use))
    return rows
