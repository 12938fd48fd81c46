"""Check image pairs (two images side by side in one file), and make pairs from the original Cityscapes."""

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

#: Maps the split and name of an image to its file.
_Files = dict[tuple[str, str], Path | zipfile.Path]


def pair_faults(paths: Sequence[Path], *, squares: bool = False) -> list[str]:
    """Decode files and check that each is a pair.

    Args:
        paths: Image files.
        squares: Whether the two images must be square, as in the data sets that the authors of Pix2Pix publish.

    Returns:
        For each file, why it is not a pair, or '' if it is.
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
    """Return whether a file or folder is the original Cityscapes, judged by its name or content.

    Example:
        >>> is_cityscapes(Path("gtFine_trainvaltest.zip")), is_cityscapes(Path("cityscapes.tar.gz"))
        (True, False)
    """
    return source.name.startswith(_FOLDERS) or any((source / name).is_dir() for name in _FOLDERS)


def build_cityscapes_pairs(
    sources: Sequence[Path], out: Path, *, workers: int = 1
) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Write each photograph and, to its right, its color-coded labels as one PNG file, both at 256x256.

    Photographs are resized with Pillow's bicubic filter, labels with nearest-neighbor interpolation so that they keep
    their colors. The pairs are made in a hidden folder and moved into place at the end. An interrupted run is continued
    by the next call.

    Args:
        sources: ``leftImg8bit_trainvaltest.zip`` and ``gtFine_trainvaltest.zip``, or folders that contain
            ``leftImg8bit/SPLIT/CITY/*.png`` and ``gtFine/SPLIT/CITY/*_color.png``, or these folders themselves.
        out: Output folder, filled with ``out/train`` and ``out/val``.
        workers: Number of threads.

    Returns:
        Number of pairs by split, and the images that could not be paired, with the reason: they cannot be read or have
        no partner.

    Raises:
        FileNotFoundError: If a source is missing.
        ValueError: If a source is a damaged archive, or there are only photographs or only labels.
    """
    unfinished = unfinished_folder(out)
    with ExitStack() as stack:
        # Find the photographs and labels, and those that have no partner.
        found: dict[str, _Files] = {kind: {} for kind in _ENDINGS}
        for source in sources:
            _find(source, found, stack)
        for kind, files in found.items():
            if not files:
                raise ValueError(
                    f"there are no {kind} files (SPLIT/CITY/*{_ENDINGS[kind]}) in {', '.join(map(str, sources))}; "
                    "both leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip are needed"
                )
        counts: dict[str, int] = {}
        bad: list[tuple[str, str]] = []
        for split, name in sorted(found["photo"].keys() ^ found["labels"].keys()):
            lacks = "labels" if (split, name) in found["photo"] else "photo"
            bad.append((printable(f"{split}/{name}"), f"it has no {lacks}"))
        keys = sorted(found["photo"].keys() & found["labels"].keys())

        # Keep the pairs of an interrupted call, and make the others.
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
            raise ValueError(f"'{source}' is truncated or not a zip file: {error}. Download it again") from error
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
        except Exception as error:  # whatever a decoder or the archive raises for a damaged file
            return f"the {list(_ENDINGS)[number]} cannot be read ({describe_error(error)})"
    write_atomically(target, lambda file: pair.save(file, "png"))
    return ""
