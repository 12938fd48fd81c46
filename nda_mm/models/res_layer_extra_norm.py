"""The last stage of a ResNet in a C4 detector, closed by a normalisation of its own."""

from __future__ import annotations

from typing import Any

import torch
from mmdet.models.roi_heads.shared_heads import ResLayer
from torch.nn.modules.batchnorm import _NormBase

from ..registry import MODELS


@MODELS.register_module()
class ResLayerExtraNorm(ResLayer):
    """mmdet's ``ResLayer`` with one more batch normalisation after its last block.

    Self-supervised features are not scaled as supervised ones are; MoCo's detectors therefore normalise what the fifth
    stage gives before the boxes are classified. The layer is new: no checkpoint of a backbone has it, it starts as the
    identity of the normalised features.

    Source: K. He, H. Fan, Y. Wu, S. Xie, R. Girshick, Momentum Contrast for Unsupervised Visual Representation
    Learning, CVPR 2020, https://arxiv.org/abs/1911.05722; ``Res5ROIHeadsExtraNorm`` in the authors' code,
    https://github.com/facebookresearch/moco/tree/main/detection. Overrides ``forward`` of mmdet 3.3.

    Args:
        args: As ``ResLayer``'s.
        kwargs: As ``ResLayer``'s.

    Shape:
        Input: (N, C, H, W). Output: (N, 2C, H / stride, W / stride) for the last stage.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        last = [layer for layer in self.modules() if isinstance(layer, _NormBase)][-1]
        self.norm = type(last)(last.num_features)
        self.norm.requires_grad_(last.weight.requires_grad)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The stage, then its normalisation."""
        normalised: torch.Tensor = self.norm(super().forward(x))
        return normalised
