"""What the user has of a data set, an archive or a folder, put where the recipes look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ..datasets.archives import Place, unpack
from ..utils.files import link_folder

__all__ = ["named", "take"]


def take(source: Path, out: Path, place: Place, holds: Sequence[str], limits: Mapping[str, int] | None = None) -> str:
    """Unpack an archive to ``out``, or link ``out`` to a folder that holds the data already.

    Args:
        source: A zip or tar file, or a folder: the one that holds ``holds``, one of those, or the folder above.
        out: Where the recipes look.
        place: Where each member of an archive belongs, see :func:`nda_mm.datasets.archives.unpack`.
        holds: Names of the folders or files by which the data are known.
        limits: The most bytes that files may have, as in the same.

    Returns:
        Lines that say what was done, and which members of a zip file are damaged: those are left out.

    Raises:
        FileNotFoundError: If there is no such file or folder, or it holds nothing of the data.
        FileExistsError: If something else stands at ``out``.
        ValueError: If the archive is damaged or another.
    """
    if not source.is_dir():
        found = unpack(source, out, place, limits)
        told = f"{source}: {found.count} files in {out}"
        return told + named(found.damaged, "damaged in the archive, left out")
    near = [source, *([source.parent] if source.name in holds else []), *sorted(source.iterdir())]
    folder = next((place for place in near if all((place / name).exists() for name in holds)), None)
    if folder is None:
        raise FileNotFoundError(f"neither '{source}' nor a folder in it holds {' and '.join(holds)}")
    link_folder(folder, out)
    return f"{folder}: is read as {out}"


def named(bad: Sequence[tuple[str, str]], what: str) -> str:
    """Bad files as lines of a report, each with its reason; '' for none.

    Example:
        >>> print("checked" + named([("a.png", "cut off")], "cannot be read"))
        checked
        1 x cannot be read:
          a.png: cut off
    """
    return (f"\n{len(bad)} x {what}:" + "".join(f"\n  {name}: {reason}" for name, reason in bad)) if bad else ""
