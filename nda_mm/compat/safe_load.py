"""Loading checkpoints of mmengine without running code, and with their checksums compared.

mmengine calls ``torch.load`` without ``weights_only``. Since torch 2.6 that means True, and torch refuses the log
buffers that mmengine stores with the weights, so that ``--resume`` fails. ``weights_only=False`` would let a
checkpoint run any code. Here the few harmless things that mmengine writes are allowed by name instead, and
nothing else. torch also loads a file without comparing its checksums.
"""

from __future__ import annotations

import io
import re
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .patch import Patch

#: Element types of numpy arrays in a checkpoint: log values, scores, and numpy's own random state.
_DTYPES = ("bool", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")


class BrokenCheckpointError(ValueError):
    """A checkpoint that can't be used: truncated, altered, unsafe to load, or without what is needed."""


def narrow_getattr(owner: Any, name: str) -> Any:
    """``getattr`` for the two uses that a checkpoint has of it.

    A pickled ``HistoryBuffer`` refers to its statistics as ``getattr(HistoryBuffer, 'mean')``, and the state of a
    one-cycle schedule to its curve as ``getattr(OneCycleParamScheduler, '_annealing_cos')``. The builtin, once allowed,
    would hand out any attribute of anything, and with it a way to run code.

    Args:
        owner: The object whose attribute is asked for; only those two classes are served.
        name: One of the buffer's default statistics (``min``, ``max``, ``mean``, ``current``) or of the schedule's
            curves (``_annealing_cos``, ``_annealing_linear``).

    Returns:
        The method.

    Raises:
        ValueError: If the checkpoint asks for anything else.
    """
    from mmengine.logging import HistoryBuffer
    from mmengine.optim.scheduler.param_scheduler import OneCycleParamScheduler

    statistics, curves = ("current", "max", "mean", "min"), ("_annealing_cos", "_annealing_linear")
    if (owner is HistoryBuffer and name in statistics) or (owner is OneCycleParamScheduler and name in curves):
        return getattr(owner, name)
    raise ValueError(f"the checkpoint asks for attribute {name!r} of {owner!r}, which it must not reach")


def allow_safe_globals() -> None:
    """Let ``torch.load(..., weights_only=True)`` read what mmengine writes; idempotent.

    That is mmengine's log buffer and its statistics, a schedule's curves, numpy arrays and plain numbers. numpy 1 and
    numpy 2 write different module names for the same two functions; both names are listed, so that a checkpoint written
    under one can be read under the other.
    """
    from mmengine.logging import HistoryBuffer
    from mmengine.optim.scheduler.param_scheduler import OneCycleParamScheduler

    reconstruct: Any = np.array([0.0]).__reduce__()[0]
    scalar: Any = np.float64(0.0).__reduce__()[0]  # type: ignore[index]
    torch.serialization.add_safe_globals(
        [
            HistoryBuffer,
            OneCycleParamScheduler,  # its constructor wants an optimizer and does no more than set one up
            (narrow_getattr, "builtins.getattr"),
            np.ndarray,
            np.dtype,
            *(type(np.dtype(code)) for code in _DTYPES),
            (reconstruct, "numpy.core.multiarray._reconstruct"),
            (reconstruct, "numpy._core.multiarray._reconstruct"),
            (scalar, "numpy.core.multiarray.scalar"),
            (scalar, "numpy._core.multiarray.scalar"),
        ]
    )


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
        FileNotFoundError: If the file does not exist.
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
    """mmengine's loader of local files, whose name and arguments its log prints and its registry expects."""
    return checked_load(filename, map_location)


class SafeGlobals(Patch):
    """Allow the contents of an mmengine checkpoint to be read with ``weights_only=True``."""

    name = "safe-globals"
    framework = "mmengine"
    reason = "UnpicklingError: Weights only load failed ... HistoryBuffer, at `--resume`"
    versions = "mmengine <= 0.10.7 with torch >= 2.6"

    def needed(self) -> bool:
        from mmengine.logging import HistoryBuffer

        file = io.BytesIO()
        torch.save(HistoryBuffer([1.0], [1]), file)
        file.seek(0)
        try:
            torch.load(file, weights_only=True)
        except Exception:  # torch words its refusal in several classes, and each of them is the fault
            return True
        return False

    def apply(self) -> None:
        allow_safe_globals()


class CheckedLoad(Patch):
    """Let the frameworks' loads of local checkpoints (``load_from``, ``init_cfg``, tests) notice damage."""

    name = "checked-load"
    framework = "mmengine"
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
