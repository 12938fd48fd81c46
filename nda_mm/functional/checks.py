"""Argument checks shared by negatives and losses. Each one raises, or returns the checked value in plain form."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real
from typing import TypeVar

import torch
from torch import Tensor

Choice = TypeVar("Choice")

#: Supported dtypes of images and clips. Other integers are labels; complex and boolean values are not pixels.
IMAGE_DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.uint8)


def check_batch(x: Tensor, generator: torch.Generator | None, *, clip_only: bool = False) -> None:
    """Check that ``x`` is a batch of images or clips, and that the generator can draw on its device.

    Args:
        x: Images ``(B, C, H, W)`` or clips ``(B, C, T, H, W)``.
        generator: Generator for the random draws, or None for torch's default generator.
        clip_only: Whether only clips are allowed. Defaults to False.

    Raises:
        TypeError: If ``x`` is not a tensor with a dtype in :data:`IMAGE_DTYPES`, or ``generator`` is not a generator.
        ValueError: If the number of dimensions is wrong, a dimension is empty, or the generator is on another device.
    """
    if not isinstance(x, Tensor):
        raise TypeError(f"x must be a torch.Tensor, but got {type(x).__name__}")
    allowed = "(B, C, T, H, W)" if clip_only else "(B, C, H, W) or (B, C, T, H, W)"
    if x.ndim not in ((5,) if clip_only else (4, 5)) or x.numel() == 0:
        raise ValueError(f"x must be a non-empty batch of shape {allowed}, but got {tuple(x.shape)}")
    if x.dtype not in IMAGE_DTYPES:
        names = ", ".join(str(dtype).removeprefix("torch.") for dtype in IMAGE_DTYPES)
        raise TypeError(f"x must have one of the dtypes {names}, but got {x.dtype}")
    if generator is None:
        return
    if not isinstance(generator, torch.Generator):
        raise TypeError(f"generator must be a torch.Generator or None, but got {type(generator).__name__}")
    if generator.device.type != x.device.type:
        raise ValueError(f"generator must be on the batch's device {x.device}, but got one on {generator.device}")


def check_partner(x: Tensor, other: Tensor | None, name: str) -> None:
    """Check that every sample can have a partner, and that given partners fit the batch.

    Args:
        x: Batch of images or clips.
        other: One partner per sample, or None to take the partners from the batch itself.
        name: Name of the negative, for the error message.

    Raises:
        TypeError: If ``other`` is not a tensor with the dtype of ``x``.
        ValueError: If the batch has a single sample and no ``other`` is given, or ``other`` has a different shape or
            device or is the batch itself. Values are not compared, since that would synchronize with the device.
    """
    if other is None:
        if x.shape[0] < 2:
            raise ValueError(
                f"{name} combines each sample with another one of the batch, but got a batch of one sample; use at "
                "least 2 samples, pass `other`, or use jigsaw, cutout, rotate or shift"
            )
        return
    if not isinstance(other, Tensor) or other.dtype != x.dtype:
        came = str(other.dtype) if isinstance(other, Tensor) else type(other).__name__
        raise TypeError(f"{name}: `other` must be a tensor of the batch's dtype {x.dtype}, but got {came}")
    if other.shape != x.shape or other.device != x.device:
        raise ValueError(
            f"{name}: `other` must have the batch's shape {tuple(x.shape)} and device {x.device}, but got "
            f"{tuple(other.shape)} on {other.device}"
        )
    # A meta tensor has no address.
    if other is x or (0 != x.data_ptr() == other.data_ptr() and x.stride() == other.stride()):
        raise ValueError(f"{name}: `other` must not be the batch itself: a sample combined with itself is real")


def check_least_side(height: int, width: int, least: int, name: str) -> None:
    """Raise ValueError if a side of the images is shorter than ``least`` pixels."""
    if min(height, width) < least:
        raise ValueError(f"{name} needs images of at least {least} x {least} pixels, but got {height} x {width}")


def check_choice(value: Choice, name: str, choices: Sequence[Choice]) -> Choice:
    """Return ``value`` if it is one of ``choices``, or raise ValueError."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, but got {value!r}")
    return value


def check_number(value: float, name: str) -> float:
    """Return a real number as a float, or raise TypeError."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number, but got {value!r}")
    return float(value)


def check_within(value: float, name: str, low: float, high: float) -> float:
    """Return a number in ``[low, high]`` as a float, or raise TypeError or ValueError."""
    number = check_number(value, name)
    if not low <= number <= high:
        raise ValueError(f"{name} must lie in [{low:g}, {high:g}], but got {value!r}")
    return number


def check_positive(value: float, name: str) -> float:
    """Return a positive, finite number as a float, or raise TypeError or ValueError."""
    number = check_number(value, name)
    if not 0 < number < math.inf:
        raise ValueError(f"{name} must be positive and finite, but got {value!r}")
    return number


def check_interval(interval: tuple[float, float], name: str, low: float, high: float) -> tuple[float, float]:
    """Return a pair of ordered numbers in ``[low, high]`` as floats, or raise TypeError or ValueError."""
    if not isinstance(interval, (tuple, list)) or len(interval) != 2:
        raise TypeError(f"{name} must be a pair of numbers (low, high), but got {interval!r}")
    first, second = (check_number(bound, name) for bound in interval)
    if not low <= first <= second <= high:
        raise ValueError(f"{name} must be (low, high) with {low:g} <= low <= high <= {high:g}, but got {interval!r}")
    return first, second


def check_floating(values: Tensor, name: str) -> Tensor:
    """Return a floating-point tensor, half precision as float32, or raise TypeError."""
    if not isinstance(values, Tensor) or not values.is_floating_point():
        got = values.dtype if isinstance(values, Tensor) else type(values).__name__
        raise TypeError(f"{name} must be a floating-point tensor, but got {got}")
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values
