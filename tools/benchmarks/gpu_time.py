"""Time by the clock of the GPU."""

from __future__ import annotations

from collections.abc import Callable

import torch


def seconds_between_events(call: Callable[[], object], calls: int) -> float:
    """Of one of several calls in a row, on the current device.

    The host prepares one call while the device does another, as in training; it waits at the end only.

    Args:
        call: What to time; its first call, which may choose kernels or fetch memory, is the caller's affair.
        calls: How many, at least 1.
    """
    first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    first.record()
    for _ in range(calls):
        call()
    last.record()
    last.synchronize()
    return first.elapsed_time(last) / 1e3 / calls


def device_name(device: str) -> str:
    """For the head of a report."""
    return torch.cuda.get_device_name(device) if torch.device(device).type == "cuda" else "CPU"
