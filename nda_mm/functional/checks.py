"""What every negative asks of its input; each check returns what it was given in plain form, or raises."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real
from typing import TypeVar

import torch
from torch import Tensor

Choice = TypeVar("Choice")

#: The dtypes images and clips come in. Integers other than uint8 are labels, complex numbers and booleans no pixels.
IMAGE_DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.uint8)


def check_batch(x: Tensor, generator: torch.Generator | None, *, clip_only: bool = False) -> None:
    """Refuse what is not a batch of images or clips, and a generator that cannot draw on its device.

    Args:
        x: ``(B, C, H, W)`` or ``(B, C, T, H, W)``.
        generator: The generator the draws will come from, or None for torch's default one.
        clip_only: Whether only clips ``(B, C, T, H, W)`` will do.

    Raises:
        TypeError: If ``x`` is not a tensor of a dtype in :data:`IMAGE_DTYPES`, or ``generator`` is not a generator.
        ValueError: If the number of dimensions is wrong, a dimension is empty, or the generator is on another device.
    """
    if not isinstance(x, Tensor):
        raise TypeError(f"negatives are made from a torch.Tensor, but got {type(x).__name__}")
    allowed = "(B, C, T, H, W)" if clip_only else "(B, C, H, W) or (B, C, T, H, W)"
    if x.ndim not in ((5,) if clip_only else (4, 5)) or x.numel() == 0:
        raise ValueError(f"expected a batch of shape {allowed}, nothing empty, but got {tuple(x.shape)}")
    if x.dtype not in IMAGE_DTYPES:
        names = ", ".join(str(dtype).removeprefix("torch.") for dtype in IMAGE_DTYPES)
        raise TypeError(f"expected pixels of dtype {names}, but got {x.dtype}")
    if generator is None:
        return
    if not isinstance(generator, torch.Generator):
        raise TypeError(f"generator must be a torch.Generator or None, but got {type(generator).__name__}")
    if generator.device.type != x.device.type:
        raise ValueError(f"the generator is on {generator.device} and the batch on {x.device}; make it there")


def check_partner(x: Tensor, other: Tensor | None, name: str) -> None:
    """Refuse a batch in which no sample can have a partner, or given partners that do not fit it.

    Args:
        x: The batch.
        other: One partner for every sample, given by the caller, or None if partners come from the batch itself.
        name: The negative, for the message.

    Raises:
        TypeError: If ``other`` is not a tensor of the dtype of ``x``.
        ValueError: If there is a single sample and no ``other``, or ``other`` has another shape or device or is the
            batch itself. Equal values in other memory are not looked for: that would wait for the device.
    """
    if other is None:
        if x.shape[0] < 2:
            raise ValueError(
                f"{name} joins each sample with another one of its batch, but the batch has one sample; use a batch "
                "of at least 2, pass `other`, or use jigsaw, cutout, rotate or shift"
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
        raise ValueError(f"{name}: `other` is the batch itself, and a sample joined with itself is a real one")


def check_least_side(height: int, width: int, least: int, name: str) -> None:
    """Refuse images with a side below ``least`` pixels by ValueError."""
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
    """Return a floating-point tensor in float32 at least, or raise TypeError."""
    if not isinstance(values, Tensor) or not values.is_floating_point():
        got = values.dtype if isinstance(values, Tensor) else type(values).__name__
        raise TypeError(f"{name} must be a floating-point tensor, but got {got}")
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values
