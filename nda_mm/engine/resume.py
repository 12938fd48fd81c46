"""Finding the checkpoint to go on from, and trusting none unread."""

from __future__ import annotations

import logging
import re
import warnings
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from mmengine.logging import print_log

from nda_mm.compat import allow_safe_globals

#: What mmengine's Runner needs to resume; a best or published checkpoint has weights alone.
RESUMABLE_KEYS = ("meta", "state_dict", "message_hub", "optimizer")


class BrokenCheckpointError(ValueError):
    """A checkpoint that can't be used: truncated, altered, unsafe to load, or without what is needed."""


def read_checkpoint(path: str | Path, needed: Iterable[str] = RESUMABLE_KEYS) -> dict[str, Any]:
    """Read a checkpoint whole, with every checksum compared and no code run.

    Args:
        path: A file that ``torch.save`` wrote.
        needed: Keys that it must hold.

    Returns:
        The checkpoint, its tensors mapped from the file rather than read into memory where the format allows it.

    Raises:
        FileNotFoundError: If there is no such file.
        BrokenCheckpointError: If it is truncated, altered, or would run code, or a key is missing; the reason and the
            file are named.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no checkpoint {path}.")
    allow_safe_globals()
    is_zip = zipfile.is_zipfile(path)  # torch wrote another format before 1.6
    try:
        if is_zip:
            with zipfile.ZipFile(path) as archive:
                altered = archive.testzip()
            if altered is not None:
                raise BrokenCheckpointError(f"{path} was altered: the checksum of {altered} is wrong.")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)
    except BrokenCheckpointError:
        raise
    except Exception as error:  # a damaged file can fail anywhere in zipfile, pickle and torch
        refused = re.search(r"GLOBAL (\S+)", str(error))
        if refused:
            raise BrokenCheckpointError(
                f"{path} can't be loaded without running code: it asks for {refused.group(1)}."
            ) from error
        reason = str(error).split("\n")[0] or type(error).__name__
        if "weights_only" in reason.lower():  # torch's advice to load it without care is no help
            reason = "torch can't read it"
        raise BrokenCheckpointError(f"{path} is truncated or damaged: {reason}.") from error
    missing = [key for key in needed if not isinstance(checkpoint, dict) or key not in checkpoint]
    if missing:
        raise BrokenCheckpointError(f"{path} holds no {', '.join(missing)}.")
    return checkpoint


def find_resumable(work_dir: str | Path) -> str | None:
    """The newest checkpoint of a run that is whole; broken ones are named in a warning and passed over.

    The newest is the one that ``last_checkpoint`` names, or one of a later step written after it (a run may be killed
    between the two). Best and published checkpoints hold no optimizer and are left out.

    Args:
        work_dir: Where the run wrote its checkpoints.

    Returns:
        Its path, or None if there is none.
    """
    for path in _candidates(Path(work_dir)):
        try:
            read_checkpoint(path)
        except BrokenCheckpointError as error:
            print_log(f"Passed over a checkpoint: {error}", logger="current", level=logging.WARNING)
        else:
            return str(path)
    return None


def choose_checkpoint(work_dir: str | Path, resume: str) -> str | None:
    """What ``--resume [CKPT]`` means.

    Args:
        work_dir: The run's folder.
        resume: A path, or 'auto' for the newest good checkpoint of ``work_dir``.

    Returns:
        The checkpoint to resume from; None if there is none yet and 'auto' was asked for.

    Raises:
        FileNotFoundError, BrokenCheckpointError: If the path that was given can't be resumed from; the newest good
            checkpoint beside it is named.
    """
    if resume == "auto":
        return find_resumable(work_dir)
    try:
        read_checkpoint(resume)
    except (FileNotFoundError, BrokenCheckpointError) as error:
        folder = Path(resume).parent
        other = find_resumable(folder) if folder.is_dir() else None
        hint = f"The newest good one in {folder} is {other}." if other else f"There is no good one in {folder} either."
        raise type(error)(f"{error} {hint}") from error
    return str(resume)


def _candidates(work_dir: Path) -> list[Path]:
    """Checkpoints of a run, the likeliest first."""
    record = work_dir / "last_checkpoint"
    named: Path | None = None
    folder, written = work_dir, 0
    if record.is_file():
        named = Path(record.read_text().strip())
        written = record.stat().st_mtime_ns
        if any(work_dir.glob("*.pth")):
            named = work_dir / named.name  # the run's folder may have been moved or copied
        else:
            folder = named.parent  # the hook's out_dir
    found = {path.resolve() for path in folder.glob("*.pth") if not path.name.startswith("best_") and path.is_file()}
    last = named.resolve() if named is not None else None
    newest_first = sorted(found, key=lambda path: (_step(path), path.stat().st_mtime_ns), reverse=True)
    # A later step that is older than the record belongs to a course that was given up for an earlier checkpoint.
    front = [path for path in newest_first if path == last or path.stat().st_mtime_ns > written]
    return front + [path for path in newest_first if path not in front]


def _step(path: Path) -> int:
    number = re.search(r"(\d+)$", path.stem)
    return int(number.group(1)) if number else -1
