"""Time by the clock of the GPU."""

from __future__ import annotations

from collections.abc import Callable

import torch

#: Of an idle kernel: some seconds.
MOST_CYCLES = 2**33


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


def device_seconds(call: Callable[[], object], calls: int, cycles: int = 20_000_000) -> float:
    """Of the device's work for one of several calls in a row, whatever the host takes to ask for it.

    The device is given an idle kernel first, and all calls are in its queue before it is through.

    Args:
        call: What to time.
        calls: How many; a queue holds about a thousand kernels.
        cycles: Of the idle kernel; doubled until the host is ahead.

    Raises:
        RuntimeError: If the host never gets ahead, because the call waits for the device.
    """
    while cycles <= MOST_CYCLES:
        first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda._sleep(cycles)
        first.record()
        for _ in range(calls):
            call()
        last.record()
        ahead = not first.query()
        last.synchronize()
        if ahead:
            return first.elapsed_time(last) / 1e3 / calls
        cycles *= 2
    raise RuntimeError("the host does not get ahead of the device: the call waits for it, or asks for too many kernels")


def device_name(device: str) -> str:
    """For the head of a report."""
    return torch.cuda.get_device_name(device) if torch.device(device).type == "cuda" else "CPU"
