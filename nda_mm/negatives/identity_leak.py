"""A known fault on purpose, to measure what it costs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from ..functional.checks import check_batch
from ..functional.layout import laid_out_as, select_samples
from ..registry import NEGATIVES
from .base import Negative, build_negative


@NEGATIVES.register_module()
class IdentityLeak(Negative):
    """A negative that fails now and then: a share of its samples are the untouched source images. **For studies only.**

    It is the reproduction of a fault. A discriminator that is told of a real image that it is not real learns against
    its own data, and the condition that the method rests on, negatives apart from the data, does not hold. The code
    that the paper's authors published does so by mistake: its jigsaw of 2 x 2 tiles leaves out one of the 24 layouts,
    but the transposed one instead of the identity, so that one negative in 23 (4.35 %, 2.8 of a batch of 64) is a real
    image. Around this package's jigsaw, with the same share, the fault is put back but for the transposed layout, which
    is among the other negatives here and never occurs there.

    Which samples leak is drawn for each by itself, after the negatives: of one generator's state, those that do not
    leak are what the negative gives without.

    Source: observed in the code released with Sinha et al., "Negative Data Augmentation", ICLR 2021,
    https://arxiv.org/abs/2102.05113.

    Args:
        negative: the negative that leaks, or its config.
        share: chance of a sample to leak, above 0 and below 1. Default 1/23.

    Raises:
        ValueError: if the share is out of its range.

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
            raise ValueError(
                f"share must be above 0 (use the negative itself) and below 1 (no negatives), but got {share}"
            )
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

    def extra_repr(self) -> str:
        return f"share={self.share:.4g}"
