"""Negatives made of other negatives: a random choice, a curriculum and an identity leak; and negatives of blocks."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..functional.checks import check_batch, check_positive
from ..functional.layout import laid_out_as, select_samples
from ..functional.sampling import random_partners
from ..registry import NEGATIVES
from .base import Negative, build_negative


@NEGATIVES.register_module()
class RandomNegative(Negative):
    """Apply one of several negatives to each sample, chosen at random.

    All negatives are applied to the whole batch and each sample then takes one of the results. A negative that needs
    partners thus finds them in the whole batch, and no value is read on the host. The price is the time and memory of
    all negatives.

    Source:
        Sinha et al., "Negative Data Augmentation", ICLR 2021, https://arxiv.org/abs/2102.05113 allows a mixture of
        negative distributions.

    Args:
        negatives: Two or more negatives or their configs.
        weights: Relative frequencies of the negatives, positive. Defaults to None: all are equally likely.

    Raises:
        ValueError: If there are no negatives, or the weights do not match them.

    Example:
        >>> RandomNegative([dict(type="Jigsaw"), dict(type="Cutout")], weights=[3, 1])
        RandomNegative(
          weights=[0.75, 0.25]
          (negatives): ModuleList(
            (0): Jigsaw(grid=(2, 2))
            (1): Cutout(size=(0.3125, 0.625))
          )
        )
    """

    def __init__(
        self, negatives: Sequence[Negative | Mapping[str, Any]], weights: Sequence[float] | None = None
    ) -> None:
        super().__init__()
        if not isinstance(negatives, Sequence) or not negatives:
            raise ValueError(f"negatives must be a non-empty list, but got {negatives!r}")
        weights = [1.0] * len(negatives) if weights is None else list(weights)
        if len(weights) != len(negatives):
            raise ValueError(f"weights must have one value per negative ({len(negatives)}), but got {weights}")
        weights = [check_positive(weight, "each weight") for weight in weights]
        self.weights = [weight / sum(weights) for weight in weights]
        self.negatives = nn.ModuleList(build_negative(negative) for negative in negatives)
        self.needs_partner = any(part.needs_partner for part in self.parts())
        self.reorders_frames = any(part.reorders_frames for part in self.parts())

    def parts(self) -> Iterable[Negative]:
        return self.negatives  # type: ignore[return-value]

    def make(self, x: Tensor, other: Tensor | None, generator: torch.Generator | None) -> Tensor:
        check_batch(x, generator)
        uniform = torch.rand(x.shape[0], device=x.device, generator=generator)
        choice = torch.zeros_like(uniform, dtype=torch.int64)
        # Comparing with plain numbers avoids a tensor of weights, which would have to be on the device of the batch.
        for bound in list(itertools.accumulate(self.weights))[:-1]:
            choice += uniform >= bound
        return select_samples([part(x, other=other, generator=generator) for part in self.parts()], choice)


@NEGATIVES.register_module()
class Curriculum(Negative):
    """Switch from one negative to the next at given iterations.

    The iteration is a buffer, saved and restored with the model; training sets it by :meth:`set_iteration`. The stage
    is chosen from a copy of it on the host, so no step synchronizes with the device.

    Source:
        Judging by their code, the authors of Sinha et al., "Negative Data Augmentation", ICLR 2021,
        https://arxiv.org/abs/2102.05113, tried a change from 4 x 4 to 2 x 2 jigsaw tiles.

    Args:
        milestones: Pairs (iteration, negative or its config) with increasing iterations, starting at 0. Each negative
            is used from its iteration on.

    Raises:
        TypeError: If ``milestones`` is not a list of pairs.
        ValueError: If the iterations do not start at 0 and increase.

    Example:
        >>> curriculum = Curriculum([(0, dict(type="Jigsaw", grid=4)), (20000, dict(type="Jigsaw", grid=2))])
        >>> curriculum.set_iteration(20000)
        >>> curriculum.current
        Jigsaw(grid=(2, 2))
    """

    iteration: Tensor

    def __init__(self, milestones: Sequence[tuple[int, Negative | Mapping[str, Any]]]) -> None:
        super().__init__()
        if any(not isinstance(pair, Sequence) or len(pair) != 2 for pair in milestones):
            raise TypeError(f"milestones must be a list of pairs (iteration, negative), but got {milestones!r}")
        self.starts = [_as_iteration(start) for start, _ in milestones]
        if not self.starts or self.starts[0] != 0 or any(a >= b for a, b in zip(self.starts, self.starts[1:])):
            raise ValueError(f"the iterations of milestones must start at 0 and increase, but got {self.starts}")
        self.stages = nn.ModuleList(build_negative(negative) for _, negative in milestones)
        self.needs_partner = any(part.needs_partner for part in self.parts())
        self.reorders_frames = any(part.reorders_frames for part in self.parts())
        self.register_buffer("iteration", torch.zeros((), dtype=torch.int64))
        self._iteration = 0

    @property
    def current(self) -> Negative:
        """The negative in use at this iteration."""
        return self.stages[self._stage]  # type: ignore[return-value]

    @property
    def _stage(self) -> int:
        return bisect.bisect_right(self.starts, self._iteration) - 1

    def parts(self) -> Iterable[Negative]:
        return self.stages  # type: ignore[return-value]

    def make(self, x: Tensor, other: Tensor | None, generator: torch.Generator | None) -> Tensor:
        return self.current(x, other=other, generator=generator)

    def set_iteration(self, iteration: int) -> None:
        """Set the training iteration, here and in all stages.

        Args:
            iteration: Number of training steps done, from 0.

        Raises:
            TypeError: If it is not an int.
            ValueError: If it is negative.
        """
        self._iteration = _as_iteration(iteration)
        self.iteration.fill_(self._iteration)
        super().set_iteration(iteration)

    def choice(self) -> tuple[Any, ...]:
        """Return the index of the current stage, and the choices within it."""
        return self._stage, self.current.choice()

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
        if f"{prefix}iteration" in state_dict:
            self._iteration = int(state_dict[f"{prefix}iteration"])

    def extra_repr(self) -> str:
        return f"starts={self.starts}, iteration={self._iteration}"


def _as_iteration(value: int) -> int:
    if type(value) is not int:
        raise TypeError(f"an iteration must be an int, but got {value!r}")
    if value < 0:
        raise ValueError(f"an iteration must be at least 0, but got {value}")
    return value


@NEGATIVES.register_module()
class IdentityLeak(Negative):
    """Apply a negative, but leave a share of the samples unchanged. **For studies only.**

    This reproduces a bug. A discriminator that is trained to reject real images learns against its own data, and the
    method relies on negatives that are separate from the data. The authors' published code contains it by mistake: its
    jigsaw of 2 x 2 tiles leaves out one of the 24 layouts, but the transposed one instead of the identity, so one
    negative in 23 (4.35 %, 2.8 of a batch of 64) is a real image. Here the identity occurs with the same share, and the
    transposed layout still occurs.

    The samples that leak are drawn independently, after the negatives. For the same RNG state, all other samples
    therefore equal those of the negative on its own.

    Source: observed in the code released with Sinha et al., "Negative Data Augmentation", ICLR 2021,
    https://arxiv.org/abs/2102.05113.

    Args:
        negative: The negative that leaks, or its config.
        share: Probability that a sample leaks, above 0 and below 1. Defaults to 1/23.

    Raises:
        ValueError: If ``share`` is out of range.

    Example:
        >>> IdentityLeak(dict(type="Jigsaw"), share=0.044)
        IdentityLeak(
          share=0.044
          (negative): Jigsaw(grid=(2, 2))
        )
    """

    def __init__(self, negative: Negative | Mapping[str, Any], share: float = 1 / 23) -> None:
        super().__init__()
        if not 0 < share < 1:
            raise ValueError(f"share must be above 0 and below 1, but got {share}")
        self.share = float(share)
        self.negative = build_negative(negative)
        self.needs_partner = self.negative.needs_partner
        self.reorders_frames = self.negative.reorders_frames

    def parts(self) -> Iterable[Negative]:
        return (self.negative,)

    def make(self, x: Tensor, other: Tensor | None, generator: torch.Generator | None) -> Tensor:
        check_batch(x, generator)
        negatives = self.negative(x, other=other, generator=generator)
        leaks = torch.rand(x.shape[0], device=x.device, generator=generator) < self.share
        return select_samples([negatives, laid_out_as(x, negatives)], leaks.long())


def change_blocks(negative: Negative, blocks: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
    """Make a negative of every block, so that no block keeps real frames in their original order.

    A change of the frames themselves (jigsaw, stitch, cutout, ...) is the same in all frames of all blocks of a clip.
    Frames are reordered **within** each block, separately: reordering the whole clip could merely swap blocks, each of
    which would be real. Partners come from other clips, never from another block of the same clip.

    Args:
        negative: Negative to apply.
        blocks: Consecutive blocks of frames.
        generator: Random generator on the device of ``blocks``. Defaults to torch's default generator.

    Shape:
        ``(B, N, C, L, H, W)``; the output has the same shape.

    Returns:
        A new tensor.

    Example:
        >>> from nda_mm.negatives import ShuffleFrames
        >>> blocks = torch.arange(4.0).view(1, 2, 1, 2, 1, 1)  # two blocks of two frames
        >>> change_blocks(ShuffleFrames(), blocks).flatten().tolist()
        [1.0, 0.0, 3.0, 2.0]
    """
    # Change every block on its own, with partners from other clips.
    if negative.reorders_frames:
        other = None
        if negative.needs_partner:
            partners = random_partners(len(blocks), device=blocks.device, generator=generator)
            other = blocks[partners].flatten(0, 1)
        return negative(blocks.flatten(0, 1), other=other, generator=generator).unflatten(0, blocks.shape[:2])
    # Change the whole clip at once, so that all of its blocks change alike.
    clips = blocks.transpose(1, 2).flatten(2, 3)
    changed = negative(clips, generator=generator)
    return changed.unflatten(2, (blocks.shape[1], blocks.shape[3])).transpose(1, 2)


def check_blocks(negative: Negative, shape: tuple[int, ...]) -> None:
    """Check that ``negative`` can be applied to blocks of a shape.

    Args:
        negative: Negative to apply.
        shape: ``(B, N, C, L, H, W)``.

    Raises:
        ValueError: If there are too few frames or blocks, they are too small, or there is no partner.
    """
    batch, blocks, _, length, height, width = shape
    name = type(negative).__name__
    try:
        negative.check_size(height, width, length if negative.reorders_frames else length * blocks)
    except ValueError as error:
        raise ValueError(f"{name} can't change blocks of {length} frames of {height}x{width}: {error}") from error
    if negative.needs_partner and batch < 2:
        raise ValueError(f"{name} combines each clip with another one of the batch, but got a batch of one")
