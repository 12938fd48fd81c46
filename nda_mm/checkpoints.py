"""Checkpoint files: safe reading, atomic writing, and comparison with the model that loads them."""

from __future__ import annotations

import io
import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.fileio import LocalBackend, register_backend
from mmengine.runner.checkpoint import _load_checkpoint_to_model
from torch import Tensor, nn

from nda_mm.compat.safe_load import BrokenCheckpointError, checked_load
from nda_mm.utils.files import UNFINISHED, write_atomically
from nda_mm.utils.messages import shorten

__all__ = [
    "RESUMABLE_KEYS",
    "AtomicLocalBackend",
    "BrokenCheckpointError",
    "MismatchedCheckpointError",
    "compare_keys",
    "load_strictly",
    "read_checkpoint",
    "write_checkpoint",
]

#: Keys that mmengine's Runner needs to resume; a best or published checkpoint has only weights.
RESUMABLE_KEYS = ("meta", "state_dict", "message_hub", "optimizer")


class MismatchedCheckpointError(ValueError):
    """Raised for a checkpoint whose weights do not fit the model."""


class AtomicLocalBackend(LocalBackend):
    """mmengine's local storage with atomic writes: a crash, a full disk or a power cut leaves no partial files.

    Registered as :attr:`NAME`, for ``backend_args=dict(backend="nda_mm_atomic")``.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "note.txt"
        >>> AtomicLocalBackend().put_text("kept", path)
        >>> path.read_text()
        'kept'
    """

    NAME = "nda_mm_atomic"

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write bytes atomically.

        Args:
            obj: Bytes to write.
            filepath: Path of the file; missing folders are created.

        Raises:
            OSError: If they can't be written, with the bytes needed and free. An existing file is left untouched.
        """
        target = Path(filepath).absolute()
        try:
            write_atomically(target, lambda file: file.write(obj))
        except OSError as error:
            if not target.parent.is_dir():
                raise
            free = shutil.disk_usage(target.parent).free
            message = f"{error.strerror}; {len(obj):,} bytes are needed, {free:,} are free"
            raise OSError(error.errno, message, str(target)) from error

    def put_text(self, obj: str, filepath: str | Path, encoding: str = "utf-8") -> None:
        """Write text atomically; see :meth:`put`."""
        self.put(obj.encode(encoding), filepath)

    @staticmethod
    def remove_unfinished(folder: str | Path) -> list[Path]:
        """Remove partial files that killed processes left in a folder.

        Returns:
            The removed files.
        """
        leftovers = sorted(Path(folder).glob(f".*{UNFINISHED}"))
        for path in leftovers:
            path.unlink(missing_ok=True)
        return leftovers


# force: the module may be imported again (in a test or a notebook), and the name is ours.
register_backend(AtomicLocalBackend.NAME, AtomicLocalBackend, force=True)


def read_checkpoint(path: str | Path, needed: Iterable[str] = RESUMABLE_KEYS) -> dict[str, Any]:
    """Read a whole checkpoint, verifying every checksum and running no code.

    Args:
        path: File written by ``torch.save``.
        needed: Keys that it must contain. Defaults to :data:`RESUMABLE_KEYS`.

    Returns:
        The checkpoint, with its tensors memory-mapped from the file if the format allows it.

    Raises:
        FileNotFoundError: If there is no such file.
        BrokenCheckpointError: If it is truncated or altered, would run code, or lacks a key; the message names the file
            and the reason.
    """
    checkpoint = checked_load(path, "cpu", mmap=True)
    missing = [key for key in needed if not isinstance(checkpoint, dict) or key not in checkpoint]
    if missing:
        raise BrokenCheckpointError(f"{path} does not contain {', '.join(missing)}.")
    return checkpoint


def write_checkpoint(checkpoint: Mapping[str, Any], path: str | Path) -> None:
    """Save a checkpoint atomically; see :meth:`AtomicLocalBackend.put`."""
    buffer = io.BytesIO()
    torch.save(dict(checkpoint), buffer)
    AtomicLocalBackend().put(buffer.getvalue(), path)


def compare_keys(wanted: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> str:
    """Describe where weights do not fit a model by name or shape.

    Counters of batch normalization (``num_batches_tracked``) may be missing, as in old checkpoints.

    Args:
        wanted: ``state_dict()`` of the model, or a part of it.
        given: Weights to compare with it.

    Returns:
        How many weights are missing, of another shape and unexpected, with the first few names of each; empty if all
        fit.

    Example:
        >>> import torch
        >>> compare_keys({"weight": torch.zeros(2, 3), "bias": torch.zeros(2)}, {"weight": torch.zeros(2, 4)})
        '1 missing (bias); 1 of another shape (weight (2, 4) for (2, 3))'
    """
    return _in_words(
        missing=[name for name in wanted if name not in given and not name.endswith("num_batches_tracked")],
        shapes=[
            f"{name} {tuple(given[name].shape)} for {tuple(value.shape)}"
            for name, value in wanted.items()
            if name in given and given[name].shape != value.shape
        ],
        unexpected=[name for name in given if name not in wanted],
    )


def load_strictly(model: nn.Module, checkpoint: Mapping[str, Any], *, source: str, target: str) -> None:
    """Load a checkpoint into a model, and raise an error if it does not fit.

    mmengine's loading does the comparison, so modules can still read weights under their former names.

    Args:
        model: Model, not wrapped for several processes.
        checkpoint: Weights, or a checkpoint with them as ``state_dict``.
        source: Name of the checkpoint in the error message.
        target: Name of the model in the error message.

    Raises:
        MismatchedCheckpointError: If weights are missing, of another shape or unexpected; the message names a few of
            each. The weights that fit have been loaded.
    """
    if not isinstance(checkpoint, Mapping):
        raise MismatchedCheckpointError(f"{source} must hold weights by name, but got a {type(checkpoint).__name__}.")
    try:
        _load_checkpoint_to_model(model, checkpoint, strict=True)
    except RuntimeError as error:
        # Parse mmengine's long report into one line.
        said = str(error)
        names = {kind: found.split(", ") for kind, found in re.findall(r"(\w+) keys? in source state_dict: (.*)", said)}
        faults = _in_words(
            missing=names.get("missing", []),
            shapes=[
                f"{name} ({given}) for ({wanted})"
                for name, given, wanted in re.findall(r"size mismatch for (\S+): .*?\[(.*?)\].*?\[(.*?)\]", said)
            ],
            unexpected=names.get("unexpected", []),
        )
        if not faults:
            raise
        raise MismatchedCheckpointError(f"{source} does not fit {target}: {faults}.") from error


def _in_words(missing: Iterable[str], shapes: Iterable[str], unexpected: Iterable[str]) -> str:
    kinds = {"missing": list(missing), "of another shape": list(shapes), "unexpected": list(unexpected)}
    return "; ".join(f"{len(names)} {kind} ({shorten(names)})" for kind, names in kinds.items() if names)
