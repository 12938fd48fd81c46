"""Process helpers: rank, process groups on the CPU, memory and SIGTERM."""

from __future__ import annotations

import ctypes
import datetime
import os
import platform
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["LAUNCHERS", "keep_freed_memory", "launched_rank", "on_sigterm", "start_process_group"]

LAUNCHERS = ("none", "pytorch", "slurm", "mpi")

#: Environment variables of each launcher: rank, number of processes, rank within the machine.
_VARIABLES = {
    "pytorch": ("RANK", "WORLD_SIZE", "LOCAL_RANK"),
    "slurm": ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID"),
    "mpi": ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"),
}


def launched_rank() -> int:
    """Return the rank from the launcher's environment variables, which needs no process group; 0 without a launcher.

    Example:
        >>> launched_rank()
        0
    """
    return next((int(os.environ[names[0]]) for names in _VARIABLES.values() if names[0] in os.environ), 0)


def start_process_group(launcher: str, *, timeout: float = 1800.0) -> bool:
    """Start a gloo process group if there is no GPU, before mmengine's Runner would start an NCCL one.

    mmengine's launchers call ``torch.cuda.set_device``, which fails on a CPU. The Runner accepts an existing group.

    Args:
        launcher: One of ``none``, ``pytorch``, ``slurm`` and ``mpi``, as passed to the Runner.
        timeout: Seconds to wait for the other processes. Defaults to 1800, as in torch.

    Returns:
        Whether a group was started: False with ``none``, with a GPU, or if a group exists already.

    Raises:
        ValueError: If the launcher is unknown.
        RuntimeError: If the launcher's environment variables are missing.

    Example:
        >>> start_process_group("none")
        False
    """
    if launcher not in LAUNCHERS:
        raise ValueError(f"launcher must be one of {', '.join(LAUNCHERS)}, but got {launcher!r}.")
    import torch
    from torch import distributed

    if launcher == "none" or torch.cuda.is_available() or distributed.is_initialized():
        return False
    _export_environment(launcher)
    distributed.init_process_group("gloo", timeout=datetime.timedelta(seconds=timeout))
    return True


def _export_environment(launcher: str) -> None:
    """Copy a launcher's variables to the names that torch's ``env://`` initialization reads."""
    names = _VARIABLES[launcher]
    if any(name not in os.environ for name in names):
        raise RuntimeError(
            f"--launcher {launcher} needs the environment variables {', '.join(names)}. Use tools/dist_train.sh or "
            "tools/slurm_train.sh, or use --launcher none."
        )
    for target, source in zip(("RANK", "WORLD_SIZE", "LOCAL_RANK"), names, strict=True):
        os.environ[target] = os.environ[source]
    os.environ.setdefault("MASTER_PORT", os.environ.get("PORT", "29500"))
    if "MASTER_ADDR" not in os.environ:
        os.environ["MASTER_ADDR"] = _first_slurm_node() if launcher == "slurm" else "127.0.0.1"


def _first_slurm_node() -> str:
    """Return the first machine of this Slurm job, where rank 0 runs."""
    import subprocess  # imported here, since `--help` of every command imports this module

    command = ["scontrol", "show", "hostnames", os.environ["SLURM_NODELIST"]]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[0]


def keep_freed_memory() -> None:
    """Keep freed memory in this process for its next allocations. Has an effect with glibc only.

    By default glibc returns a large tensor's memory to the system as soon as it is freed, and the system clears it page
    by page when the next step allocates it again. On a CPU this takes a fifth of a training step. See ``mallopt(3)``.
    The environment variables ``MALLOC_MMAP_THRESHOLD_`` and ``MALLOC_TRIM_THRESHOLD_`` do the same.
    """
    if platform.libc_ver()[0] == "glibc":
        trim_threshold, mmap_threshold, largest = -1, -3, 2**31 - 1
        libc = ctypes.CDLL(None)
        libc.mallopt(trim_threshold, largest)
        libc.mallopt(mmap_threshold, largest)


@contextmanager
def on_sigterm(action: Callable[[], object]) -> Iterator[None]:
    """Call a function on SIGTERM while in this context.

    Does nothing outside the main thread, since other threads can't handle signals.

    Args:
        action: Function to call. It may raise.

    Example:
        >>> asked = []
        >>> with on_sigterm(lambda: asked.append(True)):
        ...     signal.raise_signal(signal.SIGTERM)
        >>> asked
        [True]
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda *_: action())
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
