"""Reading a checkpoint whole, with every checksum compared and no code run."""

from __future__ import annotations

import re
import warnings
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

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
