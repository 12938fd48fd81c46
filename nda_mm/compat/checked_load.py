"""torch loads a checkpoint without comparing its checksums, and mmengine loads it as torch does."""

from __future__ import annotations

import io
import re
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch

from .mend import Mend
from .safe_globals import allow_safe_globals


class BrokenCheckpointError(ValueError):
    """A checkpoint that can't be used: truncated, altered, unsafe to load, or without what is needed."""


def require_intact(path: str | Path) -> bool:
    """Compare the checksums of a file that ``torch.save`` or ``torch.jit.save`` wrote.

    Args:
        path: The file.

    Returns:
        Whether it has any; the format from before torch 1.6 has none.

    Raises:
        BrokenCheckpointError: If one is wrong, or the file is truncated.
    """
    with open(path, "rb") as file:
        if file.read(4) != b"PK\x03\x04":  # how torch tells the two formats apart
            return False
    try:
        with zipfile.ZipFile(path) as archive:
            altered = archive.testzip()
    except Exception as error:  # a damaged table can fail anywhere in zipfile
        raise BrokenCheckpointError(f"{path} is truncated or damaged: {error or type(error).__name__}.") from error
    if altered is not None:
        raise BrokenCheckpointError(f"{path} was altered: the checksum of {altered} is wrong.")
    return True


def checked_load(path: str | Path, map_location: Any = None, *, mmap: bool = False) -> Any:
    """``torch.load`` with every checksum compared and no code run.

    Files in the format from before torch 1.6 have no checksums, so damage inside their tensors can't be seen.

    Args:
        path: A file that ``torch.save`` wrote.
        map_location: As of ``torch.load``. Defaults to None.
        mmap: Map the tensors from the file rather than read them, where the format allows it. Defaults to False.

    Returns:
        What the file holds.

    Raises:
        FileNotFoundError: If there is no such file.
        BrokenCheckpointError: If it is truncated, altered, or would run code; the reason and the file are named.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"There is no checkpoint {path}.")
    allow_safe_globals()
    is_zip = require_intact(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(path, map_location=map_location, weights_only=True, mmap=mmap and is_zip)
    except Exception as error:  # a damaged file can fail anywhere in pickle and torch
        refused = re.search(r"GLOBAL (\S+)", str(error))
        if refused:
            raise BrokenCheckpointError(
                f"{path} can't be loaded without running code: it asks for {refused.group(1)}."
            ) from error
        reason = str(error).split("\n")[0] or type(error).__name__
        if "weights_only" in reason.lower():  # torch's advice to load it without care is no help
            reason = "torch can't read it"
        raise BrokenCheckpointError(f"{path} is truncated or damaged: {reason}.") from error


def load_from_local(filename: str, map_location: Any) -> Any:
    """mmengine's loader of local files, by :func:`checked_load`; its log prints the name."""
    return checked_load(filename, map_location)


class CheckedLoad(Mend):
    """Let the hosts' loads of local checkpoints (``load_from``, ``init_cfg``, tests) notice damage."""

    name = "checked-load"
    host = "mmengine"
    reason = "a checkpoint with flipped bytes loads without an error, with other weights"
    versions = "mmengine <= 0.10.7 with torch <= 2.11"

    def needed(self) -> bool:
        from mmengine.runner.checkpoint import CheckpointLoader

        if CheckpointLoader._schemes.get("") is load_from_local:
            return False
        file, tensor = io.BytesIO(), torch.arange(64)
        torch.save(tensor, file)
        content = bytearray(file.getvalue())
        content[content.index(tensor.numpy().tobytes())] ^= 1
        try:
            torch.load(io.BytesIO(content), weights_only=True)
        except Exception:  # whatever the class, the damage was noticed
            return False
        return True

    def apply(self) -> None:
        from mmengine.runner.checkpoint import CheckpointLoader

        CheckpointLoader.register_scheme("", load_from_local, force=True)
