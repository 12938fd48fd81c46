"""Finding the checkpoint to go on from, and trusting none unread."""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path

from mmengine.logging import print_log

from nda_mm.checkpoints import BrokenCheckpointError, read_checkpoint


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
            _warn(f"Passed over a checkpoint: {error}")
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
    named, written = _named_by(record), 0
    folder = work_dir
    if named is not None:
        written = record.stat().st_mtime_ns
        if any(work_dir.glob("*.pth")):
            named = work_dir / named.name  # the run's folder may have been moved or copied
        else:
            folder = named.parent  # the hook's out_dir
    listed = {*folder.glob("*.pth"), *([named] if named is not None else [])}
    found = {Path(os.path.realpath(path)) for path in listed if not path.name.startswith("best_") and path.is_file()}
    last = Path(os.path.realpath(named)) if named is not None else None
    if last is not None and last not in found:
        _warn(f"{record} names {named}, which is no file.")
    newest_first = sorted(found, key=lambda path: (_step(path), path.stat().st_mtime_ns), reverse=True)
    # A later step that is older than the record belongs to a course that was given up for an earlier checkpoint.
    front = [path for path in newest_first if path == last or path.stat().st_mtime_ns > written]
    return front + [path for path in newest_first if path not in front]


def _named_by(record: Path) -> Path | None:
    """The checkpoint that ``last_checkpoint`` names; None without it, or, with a warning, if it is damaged."""
    try:
        name = record.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        name, reason = "", str(error)
    else:
        reason = "it names no file"
    if not name or "\0" in name:
        _warn(f"Passed over {record}: {reason}.")
        return None
    return Path(name)


def _warn(message: str) -> None:
    print_log(message, logger="current", level=logging.WARNING)


def _step(path: Path) -> int:
    number = re.search(r"(\d+)$", path.stem)
    return int(number.group(1)) if number else -1
