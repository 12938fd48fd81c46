"""Values that change over the iterations: a warm-up of ``fake_weight``, the stages of a curriculum."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from numbers import Integral, Real
from typing import Any

__all__ = ["INTERPOLATIONS", "Schedule", "as_schedule"]

#: How a schedule passes from one milestone to the next.
INTERPOLATIONS: tuple[str, ...] = ("step", "linear", "cosine")


class Schedule:
    """A value over iterations, given at milestones and held before the first and after the last of them.

    Between two milestones ``'step'`` keeps the earlier value, ``'linear'`` goes straight to the later one, and
    ``'cosine'`` follows half a cosine wave, flat at both ends. It is a function of the iteration alone, without
    state, so a resumed run needs nothing but its iteration.

    Args:
        milestones: ``(iteration, value)`` pairs; iterations are integers >= 0 and strictly rise, values are finite.
        interpolate: ``'step'`` (default), ``'linear'`` or ``'cosine'``.

    Raises:
        ValueError: if there is no milestone, iterations are negative or do not rise, a value is not finite, or
            ``interpolate`` is unknown.
        TypeError: if a milestone is not a pair of an integer and a number.

    Example:
        >>> warm_up = Schedule([(0, 1.0), (2000, 0.25)])
        >>> warm_up(1999), warm_up(2000)
        (1.0, 0.25)
        >>> Schedule([(0, 1.0), (2000, 0.5)], interpolate="linear")(1000)
        0.75
    """

    def __init__(self, milestones: Sequence[Sequence[Any]], interpolate: str = "step") -> None:
        if interpolate not in INTERPOLATIONS:
            raise ValueError(f"interpolate must be one of {', '.join(INTERPOLATIONS)}, but got {interpolate!r}")
        self.milestones = [_as_milestone(milestone) for milestone in milestones]
        self.interpolate = interpolate
        iterations = [iteration for iteration, _ in self.milestones]
        if not iterations:
            raise ValueError("a schedule needs at least one (iteration, value) milestone, but got none")
        if iterations[0] < 0:
            raise ValueError(f"milestones start at iteration {iterations[0]}, but iterations count from 0")
        if any(later <= earlier for earlier, later in pairwise(iterations)):
            raise ValueError(f"milestones must rise strictly in iteration, but got {iterations}")

    @property
    def values(self) -> list[float]:
        """The values at the milestones; the schedule never leaves their range."""
        return [value for _, value in self.milestones]

    @property
    def lowest(self) -> float:
        """The lowest value it ever takes."""
        return min(self.values)

    @property
    def highest(self) -> float:
        """The highest value it ever takes."""
        return max(self.values)

    def __call__(self, iteration: int) -> float:
        """The value at ``iteration`` (from 0)."""
        before = [milestone for milestone in self.milestones if milestone[0] <= iteration]
        if not before:
            return self.milestones[0][1]
        start, first = before[-1]
        if len(before) == len(self.milestones) or self.interpolate == "step":
            return first
        end, second = self.milestones[len(before)]
        share = (iteration - start) / (end - start)
        if self.interpolate == "cosine":
            share = (1.0 - math.cos(math.pi * share)) / 2.0
        return (1.0 - share) * first + share * second

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Schedule):
            return NotImplemented
        return (self.milestones, self.interpolate) == (other.milestones, other.interpolate)

    def __hash__(self) -> int:
        return hash((tuple(self.milestones), self.interpolate))

    def __repr__(self) -> str:
        return f"Schedule({self.milestones}, interpolate={self.interpolate!r})"


def as_schedule(value: Any, *, bounds: tuple[float, float] | None = None) -> Schedule:
    """Turn what a config says into a :class:`Schedule`.

    Args:
        value: A number (constant), a list of ``(iteration, value)`` pairs (steps), a dict with ``milestones`` and
            perhaps ``interpolate``, or a schedule, which is returned as it is.
        bounds: ``(low, high)``: every value must lie in ``low < value <= high``. Default None: any finite value.

    Returns:
        The schedule.

    Raises:
        ValueError: if a value lies outside ``bounds``, or the milestones are no schedule.
        TypeError: if ``value`` is none of the forms above.

    Example:
        >>> as_schedule(0.25)(10)
        0.25
        >>> as_schedule(dict(milestones=[(0, 1.0), (100, 0.5)], interpolate="cosine"))(50)
        0.75
    """
    if isinstance(value, Schedule):
        schedule = value
    elif isinstance(value, Real):
        schedule = Schedule([(0, value)])
    elif isinstance(value, Mapping):
        unknown = sorted(set(value) - {"milestones", "interpolate"})
        if unknown or "milestones" not in value:
            raise ValueError(
                f"a schedule's dict has the keys 'milestones' and, if wanted, 'interpolate', but got {sorted(value)}"
            )
        schedule = Schedule(**value)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        schedule = Schedule(value)
    else:
        raise TypeError(
            "a schedule is a number, a list of (iteration, value) pairs or a dict with 'milestones' and 'interpolate', "
            f"but got {value!r}"
        )
    if bounds is not None:
        low, high = bounds
        outside = [entry for entry in schedule.values if not low < entry <= high]
        if outside:
            raise ValueError(f"the values of a schedule must lie in ({low:g}, {high:g}] here, but got {outside}")
    return schedule


def _as_milestone(milestone: Any) -> tuple[int, float]:
    if isinstance(milestone, str) or not isinstance(milestone, Sequence) or len(milestone) != 2:
        raise TypeError(f"a milestone is a pair (iteration, value), but got {milestone!r}")
    iteration, value = milestone
    if isinstance(iteration, bool) or not isinstance(iteration, Integral):
        raise TypeError(f"the iteration of a milestone must be an integer, but got {iteration!r} in {milestone!r}")
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"the value of a milestone must be a number, but got {value!r} in {milestone!r}")
    if not math.isfinite(value):
        raise ValueError(f"the value of a milestone must be finite, but got {value!r} at iteration {iteration}")
    return int(iteration), float(value)
