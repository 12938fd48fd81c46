"""Checkpoints as files: read without trust, written whole, compared with the model that is to load them."""

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

#: What mmengine's Runner needs to resume; a best or published checkpoint has weights alone.
RESUMABLE_KEYS = ("meta", "state_dict", "message_hub", "optimizer")


class MismatchedCheckpointError(ValueError):
    """A checkpoint whose weights are not those of the model."""


class AtomicLocalBackend(LocalBackend):
    """mmengine's local storage, with writes that a crash, a full disk or a power cut can't leave half done.

    Registered under :attr:`NAME`, for ``backend_args=dict(backend="nda_mm_atomic")``.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "note.txt"
        >>> AtomicLocalBackend().put_text("kept", path)
        >>> path.read_text()
        'kept'
    """

    NAME = "nda_mm_atomic"

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write bytes, all or nothing.

        Args:
            obj: The bytes.
            filepath: Where to; missing folders are made.

        Raises:
            OSError: If they can't be written, with the bytes needed and free; what stood there before is untouched.
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
        """Write text, all or nothing; see :meth:`put`."""
        self.put(obj.encode(encoding), filepath)

    @staticmethod
    def remove_unfinished(folder: str | Path) -> list[Path]:
        """Remove what killed processes left half written in a folder.

        Returns:
            The files removed.
        """
        leftovers = sorted(Path(folder).glob(f".*{UNFINISHED}"))
        for path in leftovers:
            path.unlink(missing_ok=True)
        return leftovers


# force: the module may be imported anew (in a test, or a notebook), and the name is ours.
register_backend(AtomicLocalBackend.NAME, AtomicLocalBackend, force=True)


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


def write_checkpoint(checkpoint: Mapping[str, Any], path: str | Path) -> None:
    """Save a checkpoint, all or nothing; see :meth:`AtomicLocalBackend.put`."""
    buffer = io.BytesIO()
    torch.save(dict(checkpoint), buffer)
    AtomicLocalBackend().put(buffer.getvalue(), path)


def compare_keys(wanted: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> str:
    """Say where weights do not fit a model by name and shape.

    Counters of batch normalization (``num_batches_tracked``), which old checkpoints lack, may be absent.

    Args:
        wanted: The model's ``state_dict()``, or a part of it.
        given: The weights.

    Returns:
        How many are missing, of another shape and unexpected, with the first few names of each; empty if all
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
    """Load a checkpoint into a model, and refuse one that does not fit it.

    mmengine's loading does the comparison, so a module that reads weights under their former names still does.

    Args:
        model: The model, not wrapped for several processes.
        checkpoint: What was read; the weights alone, or with them as ``state_dict``.
        source: What to call the checkpoint in the message.
        target: What to call the model.

    Raises:
        MismatchedCheckpointError: If weights are missing, of another shape or unexpected; a few of each are
            named. What fits has been loaded.
    """
    if not isinstance(checkpoint, Mapping):
        raise MismatchedCheckpointError(f"{source} holds no weights by name but a {type(checkpoint).__name__}.")
    try:
        _load_checkpoint_to_model(model, checkpoint, strict=True)
    except RuntimeError as error:
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
