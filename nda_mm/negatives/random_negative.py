"""Several negatives in one batch."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..functional.checks import check_batch, check_positive
from ..functional.layout import select_samples
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
        negatives: two or more negatives or their configs.
        weights: how often each is to be chosen, in relation to the others, positive; equally often if None.

    Raises:
        ValueError: if there is no negative, or the weights do not fit them.

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

    def extra_repr(self) -> str:
        return f"weights={[round(weight, 4) for weight in self.weights]}"
