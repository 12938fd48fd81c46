"""Temporal shift in a 2-D backbone of any host, its weights' names left as they are."""

from __future__ import annotations

from typing import Any

import torch
from mmaction.models.backbones.resnet_tsm import TemporalShift
from mmengine.model import BaseModule
from torch import nn

from nda_mm.registry import MODELS


@MODELS.register_module()
class ShiftedBackbone(BaseModule):
    """A residual 2-D backbone whose blocks see a part of the frames before and after.

    Source: J. Lin, C. Gan, S. Han, TSM: Temporal Shift Module for Efficient Video Understanding, ICCV 2019, section 3,
    the residual shift; https://arxiv.org/abs/1811.08383.

    mmaction2 1.2's own ``ResNetTSM`` is a ResNet of width 64 with a 7x7 stem, made for frames of 224 pixels, and it
    renames the convolutions that it shifts. This shifts the input of the first convolution of every residual block of
    whatever backbone it is given (a module hook does it), so that small backbones can be used, and a pretrained file
    fits as it fits the backbone: ``net=dict(..., init_cfg=dict(type='Pretrained', checkpoint=...))``.

    Args:
        net: Config of the backbone, with residual blocks that have a ``conv1``, in stages ``layer1`` and so on: the
            ResNets of mmpretrain, mmdet and mmaction2.
        num_segments: Frames of a clip. Defaults to 8.
        shift_div: One part in so many of the channels comes from the next frame, and as many from the one before.
            Defaults to 8.
        init_cfg: As in mmengine; to load weights, use that of ``net``. Defaults to None.

    Shape:
        - Input: (B * num_segments, C, H, W), the frames of a clip in a row.
        - Output: (B * num_segments, C', H', W')

    Raises:
        ValueError: If there is nothing to shift, or a number is out of its range.

    Example:
        >>> net = dict(type="mmpretrain.ResNet_CIFAR", depth=18, stem_channels=16, base_channels=16)
        >>> ShiftedBackbone(net, num_segments=4)(torch.zeros(8, 3, 32, 32)).shape
        torch.Size([8, 128, 4, 4])
    """

    def __init__(
        self,
        net: dict[str, Any],
        num_segments: int = 8,
        shift_div: int = 8,
        init_cfg: dict[str, Any] | list[dict[str, Any]] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        for name, value in (("num_segments", num_segments), ("shift_div", shift_div)):
            if not isinstance(value, int) or value < 2:
                raise ValueError(f"{name} must be an integer of at least 2, but got {value!r}")
        self.num_segments, self.shift_div = num_segments, shift_div
        self.net = MODELS.build(net)
        stages = [stage for name, stage in self.net.named_children() if name.startswith("layer")]
        blocks = [block for stage in stages for block in stage.children() if hasattr(block, "conv1")]
        if not blocks:
            raise ValueError(
                f"{type(self.net).__name__} has no residual blocks with a conv1 in stages called layer1, layer2, ...; "
                "there is nothing to shift"
            )
        for block in blocks:
            block.conv1.register_forward_pre_hook(self._shift)

    def forward(self, x: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, ...]:
        """Features of the frames, the batch of frames as long as before."""
        if len(x) % self.num_segments:
            raise ValueError(
                f"{len(x)} frames are no whole number of clips of num_segments={self.num_segments}; set it to the "
                "num_clips of SampleFrames"
            )
        features = self.net(x)
        # mmpretrain's backbones give a tuple, which Recognizer2D opens for those that it knows for mmpretrain's.
        return features[0] if isinstance(features, tuple) and len(features) == 1 else features

    def _shift(self, _: nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        x = inputs[0].contiguous()  # mmaction2 views it
        return (TemporalShift.shift(x, self.num_segments, self.shift_div), *inputs[1:])
