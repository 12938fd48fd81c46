"""Reading a checkpoint that must hold what is asked for."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from nda_mm.compat.checked_load import BrokenCheckpointError, checked_load

#: What mmengine's Runner needs to resume; a best or published checkpoint has weights alone.
RESUMABLE_KEYS = ("meta", "state_dict", "message_hub", "optimizer")


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
    checkpoint = checked_load(path, "cpu", mmap=True)
    missing = [key for key in needed if not isinstance(checkpoint, dict) or key not in checkpoint]
    if missing:
        raise BrokenCheckpointError(f"{path} holds no {', '.join(missing)}.")
    return checkpoint
