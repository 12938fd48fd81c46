"""A block of BigGAN's discriminator that convolves and pools in one operation."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from mmagic.models.editors.biggan.biggan_modules import BigGANDiscResBlock
from torch import Tensor, nn

from nda_mm.registry import MODELS


@MODELS.register_module()
class PooledBigGANDiscResBlock(BigGANDiscResBlock):
    """mmagic's ``BigGANDiscResBlock``, which computes the same with less than half of the work where it downsamples.

    A 3x3 convolution followed by the mean over 2x2 pixels is one 4x4 convolution of stride 2, and a 1x1 convolution of
    the mean is the mean of the 1x1 convolution. Results differ from the host's block by rounding alone, weights keep
    their names and shapes.

    Args:
        *args, **kwargs: As the host's block takes them. With ``sn_style='ajbrock'``, whose layers are mmagic's own, it
            is the host's block.

    Example:
        In a config of mmagic::

            discriminator = dict(blocks_cfg=dict(type='nda_mm.PooledBigGANDiscResBlock'), sn_style='torch')
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.pools = self.with_downsample and type(self.conv2.conv) is nn.Conv2d
        if self.pools:
            self.conv2.conv.__class__ = _PooledConv2d  # spectral norm has put its hooks on this very layer

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output. Shape: (B, C, H, W) to (B, C', H / 2, W / 2) where it downsamples."""
        if not self.pools:
            return super().forward(x)
        out = x if self.is_head_block else self.activation(x)
        out = self.conv2(self.activation(self.conv1(out)))
        return out + self.shortcut(self.downsample(x))


class _PooledConv2d(nn.Conv2d):
    """A 3x3 convolution with padding 1, and the mean over 2x2 pixels of what it gives."""

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        corners = ((0, 1, 0, 1), (1, 0, 0, 1), (0, 1, 1, 0), (1, 0, 1, 0))
        mean = torch.stack([F.pad(weight, corner) for corner in corners]).mean(dim=0)
        return F.conv2d(input, mean, bias, stride=2, padding=1)
