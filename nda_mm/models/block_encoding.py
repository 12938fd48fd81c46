"""Blocks of frames encoded one by one and read in turn: what DPC's pretraining and its classifier share."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from nda_mm.registry import MODELS

__all__ = ["BlockEncoding"]


class BlockEncoding(nn.Module):
    """Put before an ``nn.Module``'s base class, it gives the parts ``backbone`` and ``aggregator``, and their use.

    Source: T. Han, W. Xie, A. Zisserman, Video Representation Learning by Dense Predictive Coding, 2019, section 3.1,
    https://arxiv.org/abs/1909.04656.
    """

    backbone: nn.Module
    aggregator: nn.Module

    def build_parts(self, backbone: dict[str, Any], aggregator: dict[str, Any]) -> None:
        """Build backbone and aggregator from their configs.

        Raises:
            ValueError: If their channels differ.
        """
        self.backbone = MODELS.build(backbone)
        self.aggregator = MODELS.build(aggregator)
        channels = getattr(self.backbone, "feat_dim", None)  # mmaction2's networks say it
        if channels is not None:
            self._require_channels(channels)

    def encode(self, blocks: Tensor, *, keep_statistics: bool = False) -> Tensor:
        """Features of every block, before the ReLU.

        Args:
            blocks: Blocks of frames.
            keep_statistics: Whether the backbone's buffers, such as running statistics, are left as they were. Defaults
                to False.

        Shape:
            - blocks: (B, N, C, L, H, W)
            - Output: (B, N, D, h, w)

        Returns:
            The mean over the time left in a block.

        Raises:
            ValueError: If the backbone does not keep places apart, or its channels are not the aggregator's.
        """
        if blocks.ndim != 6:
            raise ValueError(f"blocks must have the shape (B, N, C, L, H, W), but got {tuple(blocks.shape)}")
        frames = blocks.flatten(0, 1)
        if keep_statistics:
            buffers = {name: buffer.clone() for name, buffer in self.backbone.named_buffers()}
            features = functional_call(self.backbone, buffers, (frames,))
        else:
            features = self.backbone(frames)
        self._require_places(features, blocks)
        self._require_channels(features.shape[1])
        return features.mean(2).unflatten(0, blocks.shape[:2])

    def aggregate(self, features: Tensor) -> Tensor:
        """The context of blocks: the aggregator's state after the last of them.

        Args:
            features: Of blocks, as :meth:`encode` gives them.

        Shape:
            - features: (B, N, D, h, w)
            - Output: (B, aggregator.hidden_channels, h, w)

        Returns:
            The context.
        """
        context: Tensor = self.aggregator(features.relu())[1]
        return context

    def _require_places(self, features: Any, blocks: Tensor) -> None:
        name = type(self.backbone).__name__
        if not isinstance(features, Tensor) or features.ndim != 5:
            found = f"the shape {tuple(features.shape)}" if isinstance(features, torch.Tensor) else "several outputs"
            raise ValueError(
                f"{name} has {found}, but DPC needs one feature map (B, D, T, h, w) that keeps the places of a block "
                "apart; take the pooling and the classifier off, and one of out_indices"
            )
        if features.shape[3] * features.shape[4] == 1:
            raise ValueError(
                f"{name} leaves a single place of frames of {blocks.shape[-2]}x{blocks.shape[-1]} pixels, but DPC "
                "tells places apart; take larger frames or smaller strides"
            )

    def _require_channels(self, channels: int) -> None:
        wanted = getattr(self.aggregator, "in_channels", channels)
        if wanted != channels:
            raise ValueError(
                f"{type(self.backbone).__name__} gives {channels} channels and {type(self.aggregator).__name__} takes "
                f"{wanted}; set aggregator.in_channels to {channels}"
            )
