"""CelebA's downloads put where :class:`~nda_mm.datasets.images.celeba.CelebA` looks for them."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from nda_mm.datasets.archives import unpack
from nda_mm.utils.files import link_folder, write_text_atomically

from .celeba import FOLDER, PARTITION, read_partition

__all__ = ["take_celeba"]


def take_celeba(source: Path, out: Path) -> str:
    """Unpack, copy or link one thing that the user has of CelebA.

    Args:
        source: ``img_align_celeba.zip``; ``list_eval_partition.txt``; or a folder that holds ``img_align_celeba`` (or
            is it), which is linked, not copied.
        out: Where the recipes look: ``data/celeba``.

    Returns:
        One line that says what was done, and which members of a zip are damaged: those are left out.

    Raises:
        FileNotFoundError: If there is no such file or folder, or the folder holds no images.
        FileExistsError: If something else stands where a link should.
        ValueError: If it is no zip file, is truncated, or holds none of the images; if the list is damaged.
    """
    if source.is_dir():
        folder = source if source.name == FOLDER else source / FOLDER
        if not folder.is_dir():
            raise FileNotFoundError(f"'{source}' is no folder {FOLDER} and holds none")
        link_folder(folder, out / FOLDER)
        listed = [place / PARTITION for place in (source, folder.parent) if (place / PARTITION).is_file()]
        linked = [f"{folder}: linked as {out / FOLDER}"]
        return "\n".join(linked + [take_celeba(path, out) for path in listed[:1]])
    if source.suffix == ".txt":
        entries = read_partition(source)
        write_text_atomically(out / PARTITION, source.read_text(encoding="utf-8", errors="replace"))
        return f"{source}: the splits of {len(entries)} images"
    found = unpack(source, out / FOLDER, _place)
    told = f"{source}: {found.count} images in {out / FOLDER}"
    damaged = "; ".join(f"{name} ({reason})" for name, reason in found.damaged)
    return told + (f"\n{len(found.damaged)} x damaged in the zip, left out: {damaged}" if damaged else "")


def _place(parts: tuple[str, ...]) -> PurePosixPath | None:
    return PurePosixPath(parts[-1]) if re.fullmatch(r"\d{6}\.(jpg|png)", parts[-1]) else None
