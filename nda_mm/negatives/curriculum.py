"""A negative that changes while training goes on."""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..registry import NEGATIVES
from .base import Negative, build_negative


@NEGATIVES.register_module()
class Curriculum(Negative):
    """One negative after the other, switched at given iterations.

    The iteration is a buffer, saved with the model and restored with it; the training tells it by
    :meth:`set_iteration`. The choice is made from the same number on the host, so no step waits for the device.

    Source:
        By their code, the authors of Sinha et al., "Negative Data Augmentation", ICLR 2021,
        https://arxiv.org/abs/2102.05113, tried a change from 4 x 4 to 2 x 2 jigsaw tiles.

    Args:
        milestones: pairs (iteration, negative or its config) with rising iterations, the first of them 0; each negative
            serves from its iteration on.

    Raises:
        TypeError: if ``milestones`` is no list of pairs.
        ValueError: if the iterations do not rise from 0.

    Example:
        >>> curriculum = Curriculum([(0, dict(type="Jigsaw", grid=4)), (20000, dict(type="Jigsaw", grid=2))])
        >>> curriculum.set_iteration(20000)
        >>> curriculum.current
        Jigsaw(grid=(2, 2))
    """

    iteration: Tensor

    def __init__(self, milestones: Sequence[tuple[int, Negative | Mapping[str, Any]]]) -> None:
        super().__init__()
        if not isinstance(milestones, Sequence) or any(
            not isinstance(pair, Sequence) or len(pair) != 2 or isinstance(pair, str) for pair in milestones
        ):
            raise TypeError(f"milestones must be a list of pairs (iteration, negative), but got {milestones!r}")
        self.starts = [_as_iteration(start) for start, _ in milestones]
        if not self.starts or self.starts[0] != 0 or any(a >= b for a, b in zip(self.starts, self.starts[1:])):
            raise ValueError(f"the iterations of the milestones must rise from 0 on, but got {self.starts}")
        self.stages = nn.ModuleList(build_negative(negative) for _, negative in milestones)
        self.needs_partner = any(part.needs_partner for part in self.parts())
        self.reorders_frames = any(part.reorders_frames for part in self.parts())
        self.register_buffer("iteration", torch.zeros((), dtype=torch.int64))
        self._iteration = 0

    @property
    def current(self) -> Negative:
        """The negative that serves now."""
        return self.stages[bisect.bisect_right(self.starts, self._iteration) - 1]  # type: ignore[return-value]

    def parts(self) -> Iterable[Negative]:
        return self.stages  # type: ignore[return-value]

    def make(self, x: Tensor, other: Tensor | None, generator: torch.Generator | None) -> Tensor:
        return self.current(x, other=other, generator=generator)

    def set_iteration(self, iteration: int) -> None:
        """Tell how far training is, here and in all stages.

        Args:
            iteration: the number of training steps done, from 0.

        Raises:
            TypeError: if it is no int.
            ValueError: if it is negative.
        """
        self._iteration = _as_iteration(iteration)
        self.iteration.fill_(self._iteration)
        super().set_iteration(iteration)

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
        if f"{prefix}iteration" in state_dict:
            self._iteration = int(state_dict[f"{prefix}iteration"])

    def extra_repr(self) -> str:
        return f"starts={self.starts}, iteration={self._iteration}"


def _as_iteration(value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"an iteration must be an int, but got {value!r}")
    if value < 0:
        raise ValueError(f"an iteration must not be negative, but got {value}")
    return value
