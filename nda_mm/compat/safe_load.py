"""Load mmengine checkpoints without running code, and verify their checksums.

mmengine calls ``torch.load`` without ``weights_only``. Since torch 2.6 that means True, and torch refuses the log
buffers that mmengine stores with the weights, so ``--resume`` fails. ``weights_only=False`` would let a checkpoint
run arbitrary code. This module allows only the few harmless types that mmengine writes, by name. It also verifies
the checksums of a file, which torch does not.
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

#: Element types of numpy arrays in a checkpoint: log values, scores, and numpy's own RNG state.
_DTYPES = ("bool", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")


class BrokenCheckpointError(ValueError):
    """Raised if a checkpoint is truncated, altered or unsafe to load, or lacks what is needed."""


def narrow_getattr(owner: Any, name: str) -> Any:
    """Replace ``getattr`` in checkpoints, restricted to the two uses that mmengine has of it.

    A pickled ``HistoryBuffer`` refers to its statistics as ``getattr(HistoryBuffer, 'mean')``, and the state of a
    one-cycle schedule to its curve as ``getattr(OneCycleParamScheduler, '_annealing_cos')``. Allowing the builtin would
    give access to every attribute of every object, and so a way to run code.

    Args:
        owner: Object to get the attribute from; must be one of these two classes.
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
    raise ValueError(f"the checkpoint asks for attribute {name!r} of {owner!r}, which is not allowed")


def allow_safe_globals() -> None:
    """Let ``torch.load(..., weights_only=True)`` read mmengine's checkpoints. Calling it again is safe.

    It allows mmengine's log buffer and its statistics, a schedule's curves, numpy arrays and plain numbers. numpy 1 and
    numpy 2 write different module names for the same two functions. Both names are listed, so a checkpoint written with
    one version can be read with the other.
    """
    from mmengine.logging import HistoryBuffer
    from mmengine.optim.scheduler.param_scheduler import OneCycleParamScheduler

    reconstruct: Any = np.array([0.0]).__reduce__()[0]
    scalar: Any = np.float64(0.0).__reduce__()[0]  # type: ignore[index]
    torch.serialization.add_safe_globals(
        [
            HistoryBuffer,
            OneCycleParamScheduler,  # harmless: its constructor only sets up an optimizer
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
    """Verify the checksums of a file written by ``torch.save`` or ``torch.jit.save``.

    Args:
        path: The file.

    Returns:
        Whether the file has checksums. The format used before torch 1.6 has none.

    Raises:
        BrokenCheckpointError: If a checksum is wrong, or the file is truncated.
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
    """Load a file with ``torch.load``, verifying its checksums and without running code.

    Files in the format used before torch 1.6 have no checksums, so damage inside their tensors can't be detected.

    Args:
        path: File written by ``torch.save``.
        map_location: As in ``torch.load``. Defaults to None.
        mmap: Whether to memory-map the tensors instead of reading them, if the format allows it. Defaults to False.

    Returns:
        The content of the file.

    Raises:
        FileNotFoundError: If the file does not exist.
        BrokenCheckpointError: If it is truncated, altered, or would run code. The message names file and reason.
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
        if "weights_only" in reason.lower():  # don't pass on torch's advice to load it unsafely
            reason = "torch can't read it"
        raise BrokenCheckpointError(f"{path} is truncated or damaged: {reason}.") from error


def load_from_local(filename: str, map_location: Any) -> Any:
    """Replace mmengine's loader of local files. mmengine prints its name in the log and expects these arguments."""
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
        except Exception:  # torch refuses with several exception types, and each of them is the fault
            return True
        return False

    def apply(self) -> None:
        allow_safe_globals()


class CheckedLoad(Patch):
    """Detect damage when a framework loads a local checkpoint (``load_from``, ``init_cfg``, testing)."""

    name = "checked-load"
    framework = "mmengine"
    reason = "a checkpoint with flipped bytes loads without an error, but with wrong weights"
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
        except Exception:  # whatever its type, the damage was detected
            return False
        return True

    def apply(self) -> None:
        from mmengine.runner.checkpoint import CheckpointLoader

        CheckpointLoader.register_scheme("", load_from_local, force=True)
