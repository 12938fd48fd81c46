"""The classifier on top of what DPC has aggregated."""

from __future__ import annotations

from typing import Any

import torch
from mmaction.models.heads import BaseHead
from torch import nn

from nda_mm.registry import MODELS


@MODELS.register_module()
class DPCHead(BaseHead):
    """Average over places, batch normalisation, dropout, a linear layer: DPC's classifier of actions.

    The normalisation brings contexts, which lie within (-1, 1) and are mostly small, to unit spread. The linear layer
    starts orthogonal with a bias of zero, as the authors' does.

    Source: T. Han, W. Xie, A. Zisserman, Video Representation Learning by Dense Predictive Coding, 2019, section 4.3,
    https://arxiv.org/abs/1909.04656; layers, dropout and initialisation from https://github.com/TengdaHan/DPC.

    Args:
        num_classes: Number of classes.
        in_channels: Channels of the features. Defaults to 256.
        dropout_ratio: Share of the features that is dropped in training, in [0, 1). Defaults to 0.5.
        kwargs: Further arguments of mmaction2's BaseHead, such as ``loss_cls``, ``average_clips``, ``topk``.

    Shape:
        - Input: (B, C, T, H, W) with all of T, H and W averaged; T is 1 after :class:`DPCEncoder`
        - Output: (B, num_classes), scores before the softmax

    Raises:
        ValueError: If the dropout is out of its range.

    Example:
        >>> DPCHead(num_classes=101)(torch.randn(2, 256, 1, 4, 4)).shape
        torch.Size([2, 101])
    """

    def __init__(self, num_classes: int, in_channels: int = 256, dropout_ratio: float = 0.5, **kwargs: Any) -> None:
        if not 0 <= dropout_ratio < 1:
            raise ValueError(f"dropout_ratio must be in [0, 1), but got {dropout_ratio!r}")
        super().__init__(num_classes, in_channels, **kwargs)
        self.norm = nn.BatchNorm1d(in_channels)
        self.dropout = nn.Dropout(dropout_ratio)
        self.fc_cls = nn.Linear(in_channels, num_classes)

    def init_weights(self) -> None:
        """Draw the linear layer; the normalisation starts as the identity."""
        super().init_weights()
        nn.init.orthogonal_(self.fc_cls.weight)
        nn.init.zeros_(self.fc_cls.bias)

    def forward(self, x: torch.Tensor, **_: Any) -> torch.Tensor:
        """Scores of the classes.

        Raises:
            ValueError: If the features have another number of channels.
        """
        if x.ndim != 5 or x.shape[1] != self.in_channels:
            raise ValueError(
                f"DPCHead with in_channels={self.in_channels} takes features (B, {self.in_channels}, T, H, W), but got "
                f"{tuple(x.shape)}"
            )
        scores: torch.Tensor = self.fc_cls(self.dropout(self.norm(x.mean(dim=(2, 3, 4)))))
        return scores
