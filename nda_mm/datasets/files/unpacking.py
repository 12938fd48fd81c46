"""Class folders of images out of zip files, whatever folder they are wrapped in."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path, PurePosixPath

from .decoding import is_image

SPLITS = ("train", "test")


def unpack_class_folders(source: str | Path, out: str | Path, split: str | None = None) -> dict[str, int]:
    """Unpack ``.../SPLIT/CLASS/IMAGE`` of a zip file to ``out/SPLIT/CLASS/IMAGE``.

    Only the last three parts of a member's name count, so a wrapping folder does no harm and no member can leave
    ``out``. Each file's checksum in the zip is verified. Files that stand there with the right size are
    kept, so an interrupted run may be repeated.

    Args:
        source: The zip file.
        out: Folder to fill.
        split: 'train' or 'test' if the zip has no such level, ``.../CLASS/IMAGE``.

    Returns:
        Number of images of each split in the zip.

    Raises:
        ValueError: If it is no zip file, is damaged, or holds no class folders.
    """
    if split is not None and split not in SPLITS:
        raise ValueError(f"split must be one of {SPLITS}, but got {split!r}")
    counts: dict[str, int] = {}
    try:
        with zipfile.ZipFile(source) as archive:
            for info in archive.infolist():
                parts = PurePosixPath(info.filename.replace("\\", "/")).parts
                if info.is_dir() or len(parts) < (2 if split else 3) or not is_image(parts[-1]):
                    continue
                name = split or parts[-3]
                if name not in SPLITS or parts[-2] in ("..", "/"):
                    continue
                counts[name] = counts.get(name, 0) + 1
                extract_member(archive, info, Path(out) / name / parts[-2] / parts[-1])
    except (zipfile.BadZipFile, EOFError) as error:
        raise ValueError(f"'{source}' is truncated or no zip file: {error}") from error
    if not counts:
        raise ValueError(
            f"'{source}' holds no images as .../train/CLASS/*.png or .../test/CLASS/*.png (or name the split)"
        )
    return counts


def extract_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, target: Path) -> None:
    """Write one member of a zip file to ``target``, whole or not at all; one of the right size is kept.

    Args:
        archive: The open zip file.
        info: The member.
        target: The file to write; its folder is made.

    Raises:
        zipfile.BadZipFile: If the member's checksum is wrong.
    """
    if target.exists() and target.stat().st_size == info.file_size:
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part")
    part.write_bytes(archive.read(info))
    os.replace(part, target)
