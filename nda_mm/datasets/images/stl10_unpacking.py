"""STL-10's archive put where :class:`~nda_mm.datasets.images.stl10.STL10` looks for it."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from nda_mm.datasets.archives import unpack
from nda_mm.datasets.download import download, file_md5
from nda_mm.utils.files import link_folder

from .stl10 import FOLDER, PARTS, SIDE

__all__ = ["ARCHIVE", "MD5", "URL", "fetch_stl10", "take_stl10"]

URL = "http://ai.stanford.edu/~acoates/stl10/stl10_binary.tar.gz"
MD5 = "91f7769df0f17e558f3565bffb0c7dfb"
ARCHIVE = "stl10_binary.tar.gz"
#: What the archive holds that is read, with the official size in bytes.
FILES = {
    **{f"{part}_X.bin": count * 3 * SIDE * SIDE for part, count in PARTS.items()},
    **{f"{part}_y.bin": PARTS[part] for part in ("train", "test")},
}


def fetch_stl10(out: Path) -> Path:
    """Download the official archive, 2.6 GB, unless its files are there; an interrupted download continues.

    Args:
        out: Where to: ``data/stl10``.

    Returns:
        The archive.

    Raises:
        DownloadError: If it cannot be had, or its checksum is wrong.
    """
    archive = out / ARCHIVE
    return archive if archive.is_file() and file_md5(archive) == MD5 else download(URL, archive, md5=MD5)


def take_stl10(source: Path, out: Path) -> str:
    """Unpack the archive, or link a folder of what it unpacks to.

    Files of the right size are kept, and where all stand there in their official sizes, the archive is not even opened.

    Args:
        source: ``stl10_binary.tar.gz``, or the folder ``stl10_binary``, or one that holds it.
        out: Where the recipes look: ``data/stl10``.

    Returns:
        One line that says what was done.

    Raises:
        FileNotFoundError: If there is no such file or folder, or the folder holds nothing of STL-10.
        FileExistsError: If something else stands where a link should.
        ValueError: If the archive is truncated or another.
    """
    folder = out / FOLDER
    if source.is_dir():
        found = next((place for place in (source, source / FOLDER) if (place / "train_X.bin").is_file()), None)
        if found is None:
            raise FileNotFoundError(f"neither '{source}' nor its {FOLDER} holds a train_X.bin")
        link_folder(found, folder)
        return f"{found}: linked as {folder}"
    if all((folder / name).is_file() and (folder / name).stat().st_size == size for name, size in FILES.items()):
        return f"{folder}: all files are there"
    try:
        files = unpack(source, folder, lambda parts: PurePosixPath(parts[-1]) if parts[-1] in FILES else None, FILES)
    except ValueError as error:
        raise ValueError(f"{error} (MD5 {file_md5(source)}, but the official archive has {MD5})") from error
    return f"{source}: {files.count} files in {folder}"
