"""Small images carried on sheets: lossless WebP of up to a thousand each, and back to class folders.

CIFAR-10's 50,000 training images are 121 MB as a zip of PNG; on 50 sheets they are 84 MB, which a machine without a
network can be given in parts.
"""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path, PurePosixPath

import numpy as np

from .decoding import is_image
from .unpacking import SPLITS

__all__ = ["CONTENTS", "PER_SHEET", "Sheet", "read_contents", "unpack_sheets", "write_sheets"]

#: The list of all sheets; a copy of it goes with every part of them.
CONTENTS = "sheets.json"
PER_SHEET = 1000
_COLUMNS = 25


@dataclass(frozen=True)
class Sheet:
    """One sheet.

    Attributes:
        split: 'train' or 'test'.
        category: The class of its images.
        first: Place of its first image among those of the class, in the order of their names.
        count: How many images it holds.
        side: Height and width of each.
        sha256: Of the pixels, ``(count, height, width, 3)``.
    """

    split: str
    category: str
    first: int
    count: int
    side: tuple[int, int]
    sha256: str

    @property
    def file(self) -> str:
        """Where it lies, from the folder of the sheets."""
        return f"{self.split}/{self.category}/{self.first:06d}.webp"


def write_sheets(sources: Sequence[str | Path], out: str | Path, *, per_sheet: int = PER_SHEET) -> list[Sheet]:
    """Put the images of class folders on sheets.

    Args:
        sources: Zip files or folders that hold ``.../SPLIT/CLASS/IMAGE``; all images of one size.
        out: Folder to write to; what :data:`CONTENTS` in it lists is replaced.
        per_sheet: Most images on a sheet, 1 to 10,000. Default 1000.

    Returns:
        The sheets, in the order in which they were written.

    Raises:
        ValueError: If there are no images, or they differ in size.

    Example:
        >>> write_sheets(["cifar10_train.zip", "cifar10_test.zip"], "packed/cifar10")  # doctest: +SKIP
    """
    if not 1 <= per_sheet <= 10_000:
        raise ValueError(f"per_sheet must be from 1 to 10,000, the most that WebP has room for, but is {per_sheet}")
    folder = Path(out)
    sheets: list[Sheet] = []
    for source in sources:
        with _opened(Path(source)) as (classes, read):
            for (split, category), names in sorted(classes.items()):
                for first in range(0, len(names), per_sheet):
                    images = _stack(source, names[first : first + per_sheet], read)
                    side = (images.shape[1], images.shape[2])
                    sheet = Sheet(split, category, first, len(images), side, _sha256(images))
                    path = folder / sheet.file
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(_encode(images))
                    sheets.append(sheet)
    if len({sheet.file for sheet in sheets}) < len(sheets):
        raise ValueError(f"two of the sources {[str(source) for source in sources]} hold the same split and class")
    (folder / CONTENTS).write_text(json.dumps([asdict(sheet) for sheet in sheets], indent=0))
    return sheets


def read_contents(folder: str | Path) -> list[Sheet]:
    """The list of all sheets that a part of them brings along.

    Raises:
        ValueError: If there is none, or it is damaged.
    """
    path = Path(folder) / CONTENTS
    try:
        entries = json.loads(path.read_text())
        return [Sheet(**{**entry, "side": tuple(entry["side"])}) for entry in entries]
    except (OSError, TypeError, KeyError, ValueError) as error:
        raise ValueError(f"'{path}' is no list of sheets, as write_sheets leaves it: {error}") from error


def unpack_sheets(folders: Sequence[str | Path], out: str | Path) -> tuple[int, list[str]]:
    """Write the images of sheets to class folders, ``out/SPLIT/CLASS/000000.png``, in their old order.

    Every sheet's pixels are compared with its checksum. What is unpacked already is left alone, so parts may come one
    after the other and an interrupted run may be repeated.

    Args:
        folders: Parts of one set of sheets, each with the whole list.
        out: Folder to fill.

    Returns:
        The number of images in place now, and the sheets that are neither in the parts nor unpacked already.

    Raises:
        ValueError: If the parts belong to different sets, a sheet is damaged, or ``out`` holds other images.
    """
    contents = read_contents(folders[0])
    if any(read_contents(folder) != contents for folder in folders[1:]):
        raise ValueError(f"{[str(folder) for folder in folders]} are parts of different sets of sheets")
    _refuse_others(contents, Path(out))
    missing: list[str] = []
    waiting: list[tuple[Sheet, Path]] = []
    done = 0
    for sheet in contents:
        found = next((path for folder in folders if (path := Path(folder) / sheet.file).is_file()), None)
        if _stamp(Path(out), sheet).is_file():
            done += sheet.count
        elif found is None:
            missing.append(sheet.file)
        else:
            waiting.append((sheet, found))
    with ThreadPoolExecutor(max_workers=min(16, os.cpu_count() or 1)) as pool:
        jobs = [pool.submit(_unpack, sheet, path, Path(out)) for sheet, path in waiting]
        done += sum(job.result() for job in jobs)
    return done, missing


def _refuse_others(contents: list[Sheet], out: Path) -> None:
    """A class folder with further images would be read as a larger data set."""
    ours: dict[Path, set[str]] = {}
    for sheet in contents:
        names = ours.setdefault(out / sheet.split / sheet.category, set())
        names |= {f"{number:06d}.png" for number in range(sheet.first, sheet.first + sheet.count)}
        names.add(_stamp(out, sheet).name)
    for folder, names in ours.items():
        others = sorted({path.name for path in folder.iterdir()} - names) if folder.is_dir() else []
        if others:
            raise ValueError(f"'{folder}' holds other files, such as '{others[0]}'; unpack to another folder")


def _unpack(sheet: Sheet, path: Path, out: Path) -> int:
    from PIL import Image

    height, width = sheet.side
    rows = -(-sheet.count // _COLUMNS)
    with Image.open(path) as picture:
        grid = np.asarray(picture.convert("RGB"))
    if grid.shape[0] != rows * height or grid.shape[1] % width:
        raise ValueError(f"'{path}' is damaged: {grid.shape[1]}x{grid.shape[0]} pixels")
    images = grid.reshape(rows, height, -1, width, 3).swapaxes(1, 2).reshape(-1, height, width, 3)[: sheet.count]
    if _sha256(images) != sheet.sha256:
        raise ValueError(f"'{path}' is damaged: its pixels are not those that were packed")
    folder = out / sheet.split / sheet.category
    folder.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(images, start=sheet.first):
        Image.fromarray(image).save(folder / f"{number:06d}.png", compress_level=1)
    _stamp(out, sheet).touch()
    return sheet.count


def _stamp(out: Path, sheet: Sheet) -> Path:
    """A hidden file that says that a sheet is unpacked; it goes when the images are removed."""
    return out / sheet.split / sheet.category / f".{sheet.first:06d}_{sheet.sha256[:16]}"


def _encode(images: np.ndarray) -> bytes:
    from PIL import Image

    count, height, width, _ = images.shape
    columns = min(_COLUMNS, count)
    grid = np.zeros((-(-count // columns) * columns, height, width, 3), np.uint8)
    grid[:count] = images
    grid = grid.reshape(-1, columns, height, width, 3).swapaxes(1, 2).reshape(-1, columns * width, 3)
    buffer = BytesIO()
    # The slowest setting, 6 and 100, makes the file 2 % smaller in 25 times the time.
    Image.fromarray(grid).save(buffer, "WEBP", lossless=True, method=4, quality=75)
    return buffer.getvalue()


@contextmanager
def _opened(source: Path) -> Iterator[tuple[dict[tuple[str, str], list[str]], Callable[[str], bytes]]]:
    """The names of the images of each split and class of a zip file or folder, sorted, and how to read one."""
    if source.is_dir():
        names = [path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file()]
        yield _class_folders(source, names), lambda name: (source / name).read_bytes()
        return
    try:
        with zipfile.ZipFile(source) as archive:
            yield _class_folders(source, archive.namelist()), archive.read
    except zipfile.BadZipFile as error:
        raise ValueError(f"'{source}' is truncated or no zip file: {error}") from error


def _class_folders(source: Path, names: list[str]) -> dict[tuple[str, str], list[str]]:
    found: dict[tuple[str, str], list[str]] = {}
    for name in sorted(names):
        parts = PurePosixPath(name).parts
        if len(parts) >= 3 and parts[-3] in SPLITS and parts[-2] != ".." and is_image(parts[-1]):
            found.setdefault((parts[-3], parts[-2]), []).append(name)
    if not found:
        raise ValueError(f"'{source}' holds no images as .../train/CLASS/*.png or .../test/CLASS/*.png")
    return found


def _stack(source: str | Path, names: list[str], read: Callable[[str], bytes]) -> np.ndarray:
    from PIL import Image

    images = []
    for name in names:
        with Image.open(BytesIO(read(name))) as image:
            images.append(np.asarray(image.convert("RGB")))
    if len({image.shape for image in images}) > 1:
        sizes = sorted({image.shape for image in images})
        raise ValueError(f"the images of '{source}' differ in size: {sizes[0]} and {sizes[-1]}; a sheet needs one size")
    return np.stack(images)


def _sha256(images: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(images).tobytes()).hexdigest()
