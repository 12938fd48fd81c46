"""Rows exchanged between ranks and brought back, so that a key's batch statistics tell nothing of its query."""

from __future__ import annotations

import torch
from mmengine.dist import all_gather, get_rank, get_world_size
from torch import Tensor


class RowShuffle:
    """One permutation of the rows of all ranks together.

    Source: He et al., "Momentum Contrast", CVPR 2020, section 3.3 (shuffling BN), https://arxiv.org/abs/1911.05722.

    Within one process the order of a batch changes no statistics, so nothing is moved there.

    Args:
        rows: Of each rank, the same on all.
        generator: On the CPU, in the same state on every rank, so that all draw the same permutation without a message.
    """

    def __init__(self, rows: int, generator: torch.Generator) -> None:
        self.ranks = get_world_size()
        self.permutation = torch.randperm(self.ranks * rows, generator=generator)

    def apply(self, x: Tensor) -> Tensor:
        """This rank's share of the shuffled rows; a collective call."""
        return self._share(x, self.permutation)

    def undo(self, x: Tensor) -> Tensor:
        """What :meth:`apply` took from this rank's rows, in their order; a collective call."""
        return self._share(x, self.permutation.argsort())

    def _share(self, x: Tensor, order: Tensor) -> Tensor:
        if self.ranks == 1:
            return x
        own = order.view(self.ranks, -1)[get_rank()]
        return torch.cat(all_gather(x.contiguous()))[own.to(x.device)]
