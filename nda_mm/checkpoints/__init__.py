"""Checkpoints as files: read without trust, written so that a full disk or a killed process costs none."""

from .atomic_backend import AtomicLocalBackend
from .fitting import MismatchedCheckpointError, compare_keys, load_strictly
from .reading import RESUMABLE_KEYS, BrokenCheckpointError, read_checkpoint

__all__ = [
    "RESUMABLE_KEYS",
    "AtomicLocalBackend",
    "BrokenCheckpointError",
    "MismatchedCheckpointError",
    "compare_keys",
    "load_strictly",
    "read_checkpoint",
]
