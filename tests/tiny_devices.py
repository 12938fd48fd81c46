"""What tests that run on a CPU and on a CUDA device share; not a test module, see conftest.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

#: All that our functions draw with. A draw by another function would be the device's own, and show as a difference.
_DRAWS = (torch.rand, torch.randint, torch.randperm)
_INDEX = torch.ops.aten.index.Tensor


class DrawsOfTheCPU(TorchFunctionMode):
    """Inside it, random numbers come from a seeded generator of the CPU, whatever device they are wanted on."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.generator = torch.Generator().manual_seed(seed)

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func not in _DRAWS:
            return func(*args, **kwargs)
        device = kwargs.pop("device", None) or "cpu"
        return func(*args, **{**kwargs, "generator": self.generator}).to(device)


class _NoLooks(TorchDispatchMode):
    """Refuses operations whose result, or its shape, the host must know before it can go on."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        looks = bool({torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape} & set(func.tags))
        if func is _INDEX:  # by numbers it is harmless, by a mask it must count first
            looks = any(index is not None and index.dtype in (torch.bool, torch.uint8) for index in args[1])
        if looks:
            raise RuntimeError(f"{func} waits for the device")
        return func(*args, **(kwargs or {}))


@contextmanager
def nothing_waits(device: str) -> Iterator[None]:
    """Raises where the host waits for the device.

    On CUDA torch itself tells. On a CPU nobody waits; but what would have to wait on a GPU for a result (``item``,
    ``nonzero``, a mask as an index) is refused on both.
    """
    with _NoLooks():
        if device == "cpu":
            yield
            return
        torch.cuda.set_sync_debug_mode("error")
        try:
            yield
        finally:
            torch.cuda.set_sync_debug_mode("default")
