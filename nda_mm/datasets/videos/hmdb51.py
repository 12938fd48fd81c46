"""The official lists of HMDB51."""

from __future__ import annotations

import re
from pathlib import Path

from nda_mm.utils.files import read_text

from .lists import OfficialSplits

_NUM_CLASSES = 51
_FILE = re.compile(r"(?P<class>.+)_test_split(?P<split>[123])\.txt")
#: What the numbers behind the files' names mean; 0 is a video that a split does not use.
_USES = {"1": "train", "2": "val"}


def read_hmdb51_splits(folder: str | Path) -> OfficialSplits:
    """Read the three splits of HMDB51.

    Source: Kuehne et al., "HMDB: A Large Video Database for Human Motion Recognition", ICCV 2011,
    https://doi.org/10.1109/ICCV.2011.6126543; the lists are ``test_train_splits.rar`` at
    https://serre-lab.clps.brown.edu/resource/hmdb-a-large-human-motion-database/.

    Args:
        folder: Holds ``CLASS_test_split1.txt`` to ``3`` for each of 51 classes, at any depth: the archive's
            ``testTrainMulti_7030_splits``, or mmaction2's ``annotations``.

    Returns:
        The lists, those for testing called 'val', and the labels in the order of the classes' names, as in mmaction2.

    Raises:
        FileNotFoundError: If files are missing.
        ValueError: If a line cannot be understood.
    """
    folder = Path(folder)
    files: dict[tuple[str, str], Path] = {}
    for path in sorted(folder.rglob("*_test_split[123].txt")):
        match = _FILE.fullmatch(path.name)
        if match and not path.name.startswith("."):
            files.setdefault((match["class"], match["split"]), path)
    classes = tuple(sorted({name for name, _ in files}))
    missing = [f"{name}_test_split{split}.txt" for name in classes for split in "123" if (name, split) not in files]
    if len(classes) != _NUM_CLASSES or missing:
        fault = f"has no {', '.join(missing)}" if missing else f"has CLASS_test_split1.txt of {len(classes)} classes"
        raise FileNotFoundError(
            f"{folder} {fault}; {_NUM_CLASSES} classes with three files each are needed: unpack test_train_splits.rar "
            "there (https://serre-lab.clps.brown.edu/resource/hmdb-a-large-human-motion-database/), or name its folder "
            "by --annotations"
        )
    lists: dict[str, list[str]] = {f"{use}_split_{split}": [] for split in "123" for use in ("train", "val")}
    every: set[str] = set()
    for split in "123":
        for name in classes:
            for key, use in _read_list(files[name, split], name):
                every.add(key)
                if use in _USES:
                    lists[f"{_USES[use]}_split_{split}"].append(key)
    used = {key for keys in lists.values() for key in keys}
    return OfficialSplits("hmdb51", classes, lists, frozenset(every - used))


def _read_list(path: Path, name: str) -> list[tuple[str, str]]:
    rows = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if not line.strip():
            continue
        file, _, use = line.strip().rpartition(" ")
        if not file or use not in ("0", "1", "2"):
            raise ValueError(f"{path}, line {number}: expected FILE.avi and 0, 1 or 2, but got {line!r}")
        rows.append((f"{name}/{Path(file.strip()).stem}", use))
    return rows
