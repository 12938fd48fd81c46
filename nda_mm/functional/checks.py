"""What every negative asks of its input, refused where it enters and in words that say what to do."""

from __future__ import annotations

import math
from numbers import Real

import torch
from torch import Tensor

#: The dtypes images and clips come in. Integers other than uint8 are labels, complex numbers and booleans no pixels.
IMAGE_DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.uint8)


def check_batch(x: Tensor, generator: torch.Generator | None, *, clip_only: bool = False) -> None:
    """Refuse what is no batch of images or clips, and a generator that cannot draw on its device.

    Args:
        x: ``(B, C, H, W)`` or ``(B, C, T, H, W)``.
        generator: the generator the draws will come from, or None for torch's default one.
        clip_only: whether only clips ``(B, C, T, H, W)`` will do.

    Raises:
        TypeError: if ``x`` is no tensor or of a dtype outside :data:`IMAGE_DTYPES`, or ``generator`` no generator.
        ValueError: if the number of dimensions is wrong, a dimension is empty, or the generator lives elsewhere.
    """
    if not isinstance(x, Tensor):
        raise TypeError(f"negatives are made from a torch.Tensor, but got {type(x).__name__}")
    allowed = "(B, C, T, H, W)" if clip_only else "(B, C, H, W) or (B, C, T, H, W)"
    if x.ndim != 5 and (clip_only or x.ndim != 4):
        raise ValueError(f"expected a batch of shape {allowed}, but got {tuple(x.shape)}; add the missing dimensions")
    if x.numel() == 0:
        raise ValueError(f"expected a batch with at least one element, but got shape {tuple(x.shape)}")
    if x.dtype not in IMAGE_DTYPES:
        names = ", ".join(str(dtype).removeprefix("torch.") for dtype in IMAGE_DTYPES)
        raise TypeError(f"expected pixels of dtype {names}, but got {x.dtype}; convert the batch first")
    check_generator(generator, x.device)


def check_generator(generator: torch.Generator | None, device: torch.device) -> None:
    """Refuse a generator of another device than the one the draws are made on.

    Raises:
        TypeError: if ``generator`` is neither None nor a generator.
        ValueError: if it lives on another device.
    """
    if generator is None:
        return
    if not isinstance(generator, torch.Generator):
        raise TypeError(f"generator must be a torch.Generator or None, but got {type(generator).__name__}")
    here = generator.device
    same_index = here.index is None or device.index is None or here.index == device.index
    if here.type != device.type or not same_index:
        raise ValueError(
            f"the generator is on {here} and the batch on {device}, but draws are made on the batch's device; "
            f"pass torch.Generator({str(device)!r})"
        )


def check_partner(x: Tensor, other: Tensor | None, name: str) -> None:
    """Refuse a batch in which no sample can have a partner, or foreign partners that do not fit it.

    Args:
        x: the batch.
        other: one partner for every sample, given by the caller, or None if partners come from the batch itself.
        name: the negative, for the message.

    Raises:
        TypeError: if ``other`` is no tensor of the dtype of ``x``.
        ValueError: if there is a single sample and no ``other``, or ``other`` has another shape or device or is the
            batch itself. Equal values in other memory are not looked for: that would wait for the device.
    """
    if other is None:
        if x.shape[0] < 2:
            raise ValueError(
                f"{name} joins each sample with another one of its batch, but the batch has one sample, which joined "
                "with itself would be a real one; use a batch of at least 2, pass the partners as `other`, or use a "
                "negative that needs no partner (jigsaw, cutout, rotate, shift)"
            )
        return
    if not isinstance(other, Tensor) or other.dtype != x.dtype:
        came = str(other.dtype) if isinstance(other, Tensor) else type(other).__name__
        raise TypeError(f"{name}: `other` must be a tensor of the batch's dtype {x.dtype}, but got {came}")
    if other.shape != x.shape or other.device != x.device:
        raise ValueError(
            f"{name}: `other` holds one partner a sample, so it must have the batch's shape {tuple(x.shape)} and "
            f"device {x.device}, but got {tuple(other.shape)} on {other.device}"
        )
    # A meta tensor has no address.
    if other is x or (0 != x.data_ptr() == other.data_ptr() and x.stride() == other.stride()):
        raise ValueError(
            f"{name}: `other` is the batch itself, and a sample joined with itself is a real one; pass other images, "
            "or leave `other` out to join the samples of the batch"
        )


def check_interval(interval: tuple[float, float], name: str, low: float, high: float) -> tuple[float, float]:
    """``interval`` as two ordered, finite floats in ``[low, high]``, or a refusal.

    Raises:
        TypeError: if it is no pair of numbers.
        ValueError: if it is unordered or leaves ``[low, high]``.
    """
    pair = isinstance(interval, (tuple, list)) and len(interval) == 2
    if not pair or not all(isinstance(bound, (int, float)) and not isinstance(bound, bool) for bound in interval):
        raise TypeError(f"{name} must be a pair of numbers (low, high), but got {interval!r}")
    first, second = float(interval[0]), float(interval[1])
    if not (low <= first <= second <= high):
        raise ValueError(f"{name} must be (low, high) with {low:g} <= low <= high <= {high:g}, but got {interval!r}")
    return first, second


def check_within(value: float, name: str, low: float, high: float) -> float:
    """``value`` as a float in ``[low, high]``, or a refusal.

    Raises:
        TypeError: if it is no number.
        ValueError: if it leaves ``[low, high]``.
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number, but got {value!r}")
    if not low <= value <= high:
        raise ValueError(f"{name} must lie in [{low:g}, {high:g}], but got {value!r}")
    return float(value)


def check_positive(value: float, name: str) -> float:
    """``value`` as a positive, finite float, or a refusal.

    Raises:
        TypeError: if it is no number.
        ValueError: if it is not positive or not finite.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a positive number, but got {value!r}")
    if not (value > 0 and math.isfinite(value)):
        raise ValueError(f"{name} must be positive and finite, but got {value!r}")
    return float(value)
