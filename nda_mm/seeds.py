"""Seeds mixed from what they are for, so that no two uses share a stream; pure Python."""

from __future__ import annotations

__all__ = ["mix"]

_MASK = (1 << 64) - 1


def mix(*parts: int) -> int:
    """Mix integers into one well-spread 64-bit number, so that neighbouring seeds and positions give unrelated streams.

    The finaliser is that of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014, https://doi.org/10.1145/2660193.2660195).

    Args:
        parts: Any integers; their order counts.

    Returns:
        An integer in [0, 2**64).

    Example:
        >>> mix(0, 1) != mix(1, 0)
        True
        >>> mix(3, 5) == mix(3, 5)
        True
    """
    value = 0
    for part in parts:
        value = (value + part + 0x9E3779B97F4A7C15) & _MASK
        value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
        value ^= value >> 31
    return value
