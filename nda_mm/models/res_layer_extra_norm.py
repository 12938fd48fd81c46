"""The last stage of a ResNet in a C4 detector, followed by batch normalization."""

from __future__ import annotations

from typing import Any

import torch
from mmdet.models.roi_heads.shared_heads import ResLayer
from torch.nn.modules.batchnorm import _NormBase

from nda_mm.registry import MODELS


@MODELS.register_module()
class ResLayerExtraNorm(ResLayer):
    """mmdet's ``ResLayer`` with one more batch normalization after its last block.

    Self-supervised features have a different scale than supervised ones. MoCo's detectors therefore normalize the
    output of the fifth stage before boxes are classified. Backbone checkpoints do not contain this layer.

    Source: K. He, H. Fan, Y. Wu, S. Xie, R. Girshick, Momentum Contrast for Unsupervised Visual Representation
    Learning, CVPR 2020, https://arxiv.org/abs/1911.05722; ``Res5ROIHeadsExtraNorm`` in the authors' code,
    https://github.com/facebookresearch/moco/tree/main/detection. Overrides ``forward`` of mmdet 3.3.

    Args:
        args, kwargs: Arguments of mmdet's ``ResLayer``.

    Shape:
        Input: (N, C, H, W). Output: (N, 2C, H / stride, W / stride) for the last stage.

    Example:
        In a config of mmdet's C4 detectors::

            model = dict(roi_head=dict(shared_head=dict(type='nda_mm.ResLayerExtraNorm', norm_eval=False)))
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        last = [layer for layer in self.modules() if isinstance(layer, _NormBase)][-1]
        self.norm = type(last)(last.num_features)
        self.norm.requires_grad_(last.weight.requires_grad)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the stage, then the extra normalization."""
        return self.norm(super().forward(x))
