"""Negatives made of other negatives: one of several for each sample, stages over training, a leak, and of blocks."""

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
    """For every sample one of several negatives, chosen at random.

    All negatives are made of the whole batch and each sample then takes one of them, so a negative that needs partners
    finds them in the whole batch, and nothing is looked at on the host. The price is time and memory for all of them.

    Source:
        Sinha et al., "Negative Data Augmentation", ICLR 2021, https://arxiv.org/abs/2102.05113 allows a mixture of
        negative distributions.

    Args:
        negatives: Two or more negatives or their configs.
        weights: How often each is to be chosen, in relation to the others, positive; equally often if None.

    Raises:
        ValueError: If there is no negative, or the weights do not fit them.

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
            raise ValueError(f"RandomNegative chooses from a list of negatives, but got {negatives!r}")
        weights = [1.0] * len(negatives) if weights is None else list(weights)
        if len(weights) != len(negatives):
            raise ValueError(f"{len(negatives)} negatives need as many weights, but got {len(weights)}: {weights}")
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
        # Comparisons with plain numbers need no tensor of weights to follow the batch from device to device.
        for bound in list(itertools.accumulate(self.weights))[:-1]:
            choice += uniform >= bound
        return select_samples([part(x, other=other, generator=generator) for part in self.parts()], choice)


@NEGATIVES.register_module()
class Curriculum(Negative):
    """One negative after the other, switched at given iterations.

    The iteration is a buffer, saved with the model and restored with it; the training sets it by
    :meth:`set_iteration`. The choice is made from the same number on the host, so no step waits for the device.

    Source:
        By their code, the authors of Sinha et al., "Negative Data Augmentation", ICLR 2021,
        https://arxiv.org/abs/2102.05113, tried a change from 4 x 4 to 2 x 2 jigsaw tiles.

    Args:
        milestones: Pairs (iteration, negative or its config) with rising iterations, the first of them 0; each negative
            serves from its iteration on.

    Raises:
        TypeError: If ``milestones`` is not a list of pairs.
        ValueError: If the iterations do not rise from 0.

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
            raise ValueError(f"the iterations of the milestones must rise from 0 on, but got {self.starts}")
        self.stages = nn.ModuleList(build_negative(negative) for _, negative in milestones)
        self.needs_partner = any(part.needs_partner for part in self.parts())
        self.reorders_frames = any(part.reorders_frames for part in self.parts())
        self.register_buffer("iteration", torch.zeros((), dtype=torch.int64))
        self._iteration = 0

    @property
    def current(self) -> Negative:
        """The negative that serves now."""
        return self.stages[self._stage]  # type: ignore[return-value]

    @property
    def _stage(self) -> int:
        return bisect.bisect_right(self.starts, self._iteration) - 1

    def parts(self) -> Iterable[Negative]:
        return self.stages  # type: ignore[return-value]

    def make(self, x: Tensor, other: Tensor | None, generator: torch.Generator | None) -> Tensor:
        return self.current(x, other=other, generator=generator)

    def set_iteration(self, iteration: int) -> None:
        """Set how far training is, here and in all stages.

        Args:
            iteration: the number of training steps done, from 0.

        Raises:
            TypeError: If it is not an int.
            ValueError: If it is negative.
        """
        self._iteration = _as_iteration(iteration)
        self.iteration.fill_(self._iteration)
        super().set_iteration(iteration)

    def choice(self) -> tuple[Any, ...]:
        """The stage that serves, and what is chosen within it."""
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
        raise ValueError(f"an iteration must not be negative, but got {value}")
    return value


@NEGATIVES.register_module()
class IdentityLeak(Negative):
    """A negative that fails now and then: a share of its samples are the untouched source images. **For studies only.**

    This reproduces a fault. A discriminator that is trained to reject real images learns against its own data, and
    the method rests on negatives that are apart from the data. The authors' published code has it by mistake: its
    jigsaw of 2 x 2 tiles leaves out one of the 24 layouts, but the transposed one instead of the identity, so that one
    negative in 23 (4.35 %, 2.8 of a batch of 64) is a real image. Here the identity comes back with the same share; the
    transposed layout still occurs.

    Which samples leak is drawn independently, after the negatives: from the same state of the generator, those that do
    not leak are what the negative alone gives.

    Source: observed in the code released with Sinha et al., "Negative Data Augmentation", ICLR 2021,
    https://arxiv.org/abs/2102.05113.

    Args:
        negative: The negative that leaks, or its config.
        share: Chance of a sample to leak, above 0 and below 1. Defaults to 1/23.

    Raises:
        ValueError: If the share is out of its range.

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
    """A negative of every block, none of which is a block of real frames in their order.

    A change of the frames themselves (jigsaw, stitch, cutout, ...) is the same in all frames of all blocks of a clip. A
    change of their order is made **within** each block, each by itself: over the whole clip it could put blocks in
    another order, and each of them would be real. Partners are taken from other clips, never another block of the same.

    Args:
        negative: What makes them.
        blocks: Blocks of frames, one after the other in time.
        generator: The source of randomness, on the device of ``blocks``; torch's default one if None.

    Shape:
        ``(B, N, C, L, H, W)``, and the same out.

    Returns:
        A new tensor.

    Example:
        >>> from nda_mm.negatives import ShuffleFrames
        >>> blocks = torch.arange(4.0).view(1, 2, 1, 2, 1, 1)  # two blocks of two frames
        >>> change_blocks(ShuffleFrames(), blocks).flatten().tolist()
        [1.0, 0.0, 3.0, 2.0]
    """
    if negative.reorders_frames:
        other = None
        if negative.needs_partner:
            partners = random_partners(len(blocks), device=blocks.device, generator=generator)
            other = blocks[partners].flatten(0, 1)
        return negative(blocks.flatten(0, 1), other=other, generator=generator).unflatten(0, blocks.shape[:2])
    clips = blocks.transpose(1, 2).flatten(2, 3)
    changed = negative(clips, generator=generator)
    return changed.unflatten(2, (blocks.shape[1], blocks.shape[3])).transpose(1, 2)


def check_blocks(negative: Negative, shape: tuple[int, ...]) -> None:
    """Refuse blocks of which ``negative`` can't make negatives.

    Args:
        negative: What is to make them.
        shape: ``(B, N, C, L, H, W)``.

    Raises:
        ValueError: If frames or blocks are too few or too small, or there is no partner.
    """
    batch, blocks, _, length, height, width = shape
    name = type(negative).__name__
    try:
        negative.check_size(height, width, length if negative.reorders_frames else length * blocks)
    except ValueError as error:
        raise ValueError(f"{name} can't change blocks of {length} frames of {height}x{width}: {error}") from error
    if negative.needs_partner and batch < 2:
        raise ValueError(f"{name} joins each clip with another of its batch, but the batch has one")
