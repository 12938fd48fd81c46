"""Pairs of images side by side in one file: checked, and made of Cityscapes as it is published."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path, PurePosixPath

from nda_mm.datasets.archives import move_in_place, unfinished_folder
from nda_mm.datasets.decoding import image_size
from nda_mm.datasets.report import track
from nda_mm.utils.files import check_file, printable, write_atomically
from nda_mm.utils.messages import describe_error

SIDE = 256
_SPLITS = ("train", "val")
_ENDINGS = {"photo": "_leftImg8bit.png", "labels": "_gtFine_color.png"}
_FOLDERS = ("leftImg8bit", "gtFine")

#: The file of an image, by its split and name.
_Files = dict[tuple[str, str], Path | zipfile.Path]


def pair_faults(paths: Sequence[Path], *, squares: bool = False) -> list[str]:
    """Decode files that should hold a pair each.

    Args:
        paths: Image files.
        squares: Whether the two images must be squares, as the authors of Pix2Pix publish them.

    Returns:
        For each file why it is no pair; '' if it is.
    """

    def fault(path: Path) -> str:
        try:
            width, height = image_size(path)
        except OSError as error:
            return str(error)
        if width % 2 or (squares and width != 2 * height):
            return f"{width}x{height} pixels are not two {'squares' if squares else 'images of one size'} side by side"
        return ""

    with ThreadPoolExecutor(max_workers=8) as pool:
        return list(track(pool.map(fault, paths), "reading pairs", "pairs", len(paths)))


def is_cityscapes(source: Path) -> bool:
    """Whether a file or folder is Cityscapes as it is published, by its name or what it holds.

    Example:
        >>> is_cityscapes(Path("gtFine_trainvaltest.zip")), is_cityscapes(Path("cityscapes.tar.gz"))
        (True, False)
    """
    return source.name.startswith(_FOLDERS) or any((source / name).is_dir() for name in _FOLDERS)


def build_cityscapes_pairs(
    sources: Sequence[Path], out: Path, *, workers: int = 1
) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Write each photograph with its painted labels on its right, both 256x256, as one PNG file.

    Photographs are scaled by Pillow's bicubic filter, labels by the nearest pixel, so that they keep their colors.
    The pairs are made in a hidden folder and moved in place at the end; an interrupted run is continued.

    Args:
        sources: ``leftImg8bit_trainvaltest.zip`` and ``gtFine_trainvaltest.zip``, or folders that hold
            ``leftImg8bit/SPLIT/CITY/*.png`` and ``gtFine/SPLIT/CITY/*_color.png``, or are those.
        out: The folder to fill: ``out/train`` and ``out/val``.
        workers: Number of threads.

    Returns:
        Number of pairs by split, and what could not be made a pair, with the reason: images that cannot be read, and
        those without partner.

    Raises:
        FileNotFoundError: If a source is missing.
        ValueError: If a source is a damaged archive, or there are only photographs or only labels.
    """
    unfinished = unfinished_folder(out)
    with ExitStack() as stack:
        # Which photographs and labels there are, and which have no partner.
        found: dict[str, _Files] = {kind: {} for kind in _ENDINGS}
        for source in sources:
            _find(source, found, stack)
        for kind, files in found.items():
            if not files:
                raise ValueError(
                    f"there are no {kind} (SPLIT/CITY/*{_ENDINGS[kind]}) in {', '.join(map(str, sources))}; "
                    "leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip are both needed"
                )
        counts: dict[str, int] = {}
        bad: list[tuple[str, str]] = []
        for split, name in sorted(found["photo"].keys() ^ found["labels"].keys()):
            lacks = "labels" if (split, name) in found["photo"] else "photo"
            bad.append((printable(f"{split}/{name}"), f"it has no {lacks}"))
        keys = sorted(found["photo"].keys() & found["labels"].keys())

        # Pairs of an interrupted call stay; the others are made.
        def make(key: tuple[str, str]) -> str:
            target = PurePosixPath(key[0], f"{key[1]}.png")
            if (out / target).is_file() or (unfinished / target).is_file():
                return ""
            return _make(found["photo"][key], found["labels"][key], unfinished / target)

        with ThreadPoolExecutor(max_workers=workers) as pool:
            faults = track(pool.map(make, keys), "making", "pairs", len(keys))
            for (split, name), fault in zip(keys, faults, strict=True):
                if fault:
                    bad.append((printable(f"{split}/{name}"), fault))
                else:
                    counts[split] = counts.get(split, 0) + 1
    if unfinished.is_dir():
        move_in_place(unfinished, out)
    return counts, bad


def _find(source: Path, found: dict[str, _Files], stack: ExitStack) -> None:
    files: Iterable[Path | zipfile.Path]
    if source.is_dir():
        files = source.absolute().rglob("*.png")
    elif source.is_file():
        try:
            archive = stack.enter_context(zipfile.ZipFile(source))
        except zipfile.BadZipFile as error:
            raise ValueError(f"'{source}' is truncated or no zip file: {error}. Download it again") from error
        files = [zipfile.Path(archive, name) for name in archive.namelist()]
    else:
        raise FileNotFoundError(f"there is no file or folder '{source}'")
    for file in files:
        parts = PurePosixPath(str(file)).parts
        for kind, ending in _ENDINGS.items():
            if len(parts) >= 3 and parts[-3] in _SPLITS and parts[-1].endswith(ending):
                found[kind][parts[-3], parts[-1].removesuffix(ending)] = file


def _make(photo: Path | zipfile.Path, labels: Path | zipfile.Path, target: Path) -> str:
    """Write one pair; return the reason if it cannot be made, or ''."""
    from PIL import Image

    pair = Image.new("RGB", (2 * SIDE, SIDE))
    filters = (Image.Resampling.BICUBIC, Image.Resampling.NEAREST)
    for number, (file, resampling) in enumerate(zip((photo, labels), filters, strict=True)):
        try:
            if isinstance(file, Path):
                check_file(file)
            with Image.open(io.BytesIO(file.read_bytes())) as image:
                pair.paste(image.convert("RGB").resize((SIDE, SIDE), resampling), (number * SIDE, 0))
        except MemoryError:
            raise
        except Exception as error:  # whatever a decoder, or the archive's checksum, makes of a damaged file
            return f"the {list(_ENDINGS)[number]} cannot be read ({describe_error(error)})"
    write_atomically(target, lambda file: pair.save(file, "png"))
    return ""
