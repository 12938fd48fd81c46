"""Checkpoints as files: read without trust, written so that a full disk or a killed process costs none."""

from .atomic_backend import AtomicLocalBackend
from .reading import RESUMABLE_KEYS, BrokenCheckpointError, read_checkpoint

__all__ = ["RESUMABLE_KEYS", "AtomicLocalBackend", "BrokenCheckpointError", "read_checkpoint"]
