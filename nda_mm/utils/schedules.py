"""Values that change over the iterations, such as a warm-up of ``fake_weight`` or the weight of negative keys."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from numbers import Real
from typing import Any

__all__ = ["INTERPOLATIONS", "Schedule", "as_schedule"]

#: Ways to interpolate between two milestones.
INTERPOLATIONS: tuple[str, ...] = ("step", "linear", "cosine")


class Schedule:
    """A value that depends on the iteration, given at milestones and constant before the first and after the last.

    Between two milestones ``'step'`` keeps the earlier value, ``'linear'`` interpolates linearly, and ``'cosine'``
    follows half a cosine wave, flat at both ends. A schedule has no state, so a resumed run needs only its iteration.

    Args:
        milestones: ``(iteration, value)`` pairs. Iterations are strictly increasing integers >= 0, values are finite.
        interpolate: ``'step'``, ``'linear'`` or ``'cosine'``. Defaults to ``'step'``.

    Raises:
        ValueError: If there is no milestone, iterations are negative or not strictly increasing, a value is not
            finite, or ``interpolate`` is unknown.
        TypeError: If a milestone is not a pair of an integer and a number.

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
        try:
            self.milestones = [(operator.index(iteration), float(value)) for iteration, value in milestones]
        except (TypeError, ValueError):
            raise TypeError(f"milestones must be (iteration, value) pairs of numbers, but got {milestones!r}") from None
        iterations = [-1, *(iteration for iteration, _ in self.milestones)]
        if not self.milestones or any(later <= earlier for earlier, later in pairwise(iterations)):
            raise ValueError(f"milestones must have strictly increasing iterations from 0 on, but got {milestones!r}")
        if not all(map(math.isfinite, self.values)):
            raise ValueError(f"milestones must have finite values, but got {milestones!r}")
        self.interpolate = interpolate

    @property
    def values(self) -> list[float]:
        """Values at the milestones. The schedule never leaves their range."""
        return [value for _, value in self.milestones]

    def __call__(self, iteration: int) -> float:
        """Return the value at ``iteration``, counted from 0."""
        passed = sum(milestone <= iteration for milestone, _ in self.milestones)
        start, first = self.milestones[max(passed - 1, 0)]
        if passed in (0, len(self.milestones)) or self.interpolate == "step":
            return first
        end, second = self.milestones[passed]
        share = (iteration - start) / (end - start)
        if self.interpolate == "cosine":
            share = (1.0 - math.cos(math.pi * share)) / 2.0
        return (1.0 - share) * first + share * second


def as_schedule(value: Any, name: str = "schedule", check: Callable[[float], Any] | None = None) -> Schedule:
    """Convert a config setting to a :class:`Schedule`.

    Args:
        value: A number (constant), a list of ``(iteration, value)`` pairs (steps), or a dict with ``milestones`` and
            optionally ``interpolate``.
        name: Name of the setting in error messages. Defaults to ``'schedule'``.
        check: Function that raises ``ValueError`` if a value is out of range. Defaults to None.

    Returns:
        The schedule.

    Raises:
        ValueError: If the milestones are not a valid schedule, or ``check`` raises for a value.
        TypeError: If ``value`` is none of the forms above.

    Example:
        >>> as_schedule(0.25)(10)
        0.25
        >>> as_schedule(dict(milestones=[(0, 1.0), (100, 0.5)], interpolate="cosine"))(50)
        0.75
    """
    try:
        if isinstance(value, Real):
            schedule = Schedule([(0, value)])
        elif isinstance(value, Mapping):
            schedule = Schedule(**value)
        elif isinstance(value, Sequence) and not isinstance(value, str):
            schedule = Schedule(value)
        else:
            raise TypeError(f"must be a number, (iteration, value) pairs or a dict with milestones, but got {value!r}")
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name}: {error}") from None
    for each in schedule.values if check is not None else ():
        check(each)  # type: ignore[misc]
    return schedule
