"""Residual network of Dense Predictive Coding, with temporal convolutions in its last two stages only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmaction.models.backbones.resnet3d import ConvModule, ResNet3d
from mmengine.model import initialize
from torch import nn

from nda_mm.functional.checks import check_choice
from nda_mm.registry import MODELS


@MODELS.register_module()
class ResNet2d3d(ResNet3d):
    """2D3D-ResNet: 1x3x3 kernels in stages one and two, 3x3x3 kernels with a temporal stride in stages three and four.

    With its defaults it is DPC's encoder, with 14,057,536 parameters at depth 18. It differs from mmaction2's ResNet3d
    in the last stage. That stage is 4 x ``base_channels`` wide, like the third, and its last block has no ReLU, so that
    dot products of features can have either sign.

    The normalization layers keep running statistics, so that features in evaluation do not depend on the rest of the
    batch. DPC's own pretraining keeps none (``norm_cfg=dict(type='BN3d', track_running_stats=False)``). The learned
    weights are the same.

    Source: T. Han, W. Xie, A. Zisserman, Video Representation Learning by Dense Predictive Coding, ICCV workshops
    2019, section 4.1 and appendix, https://arxiv.org/abs/1909.04656; details of the layers from
    https://github.com/TengdaHan/DPC. Overrides ``make_res_layer`` and ``init_weights`` of mmaction2 1.2.

    Args:
        depth: Depth of the network, 18 or 34. Defaults to 18.
        base_channels: Channels of the stem and the first stage. Defaults to 64.
        conv1_kernel: Kernel size of the stem in (frames, rows, columns). Defaults to (1, 7, 7).
        conv1_stride_s: Spatial stride of the stem. Defaults to 2.
        with_pool1: Whether a 1x3x3 max pooling follows the stem. Defaults to True.
        pool1_stride_s: Spatial stride of the pooling. Defaults to 2.
        spatial_strides: Spatial strides of the stages. Defaults to (1, 2, 2, 2): features are 32 times smaller than
            frames.
        temporal_strides: Temporal strides of the stages. Defaults to (1, 1, 2, 2): five frames leave two time steps.
        final_relu: Whether the last block ends with a ReLU. Defaults to False.
        norm_cfg: Config of the normalization layers. Defaults to dict(type='BN3d').
        init_cfg: ``dict(type='Pretrained', checkpoint=...)`` loads this network's weights; mmaction2's ResNet3d ignores
            it. Defaults to None: Kaiming normal initialization by fan-out.
        kwargs: Further arguments of mmaction2's ResNet3d, such as ``in_channels``, ``frozen_stages``, ``norm_eval``,
            ``with_cp``.

    Shape:
        - Input: (B, C, T, H, W)
        - Output: (B, 4 * base_channels, T', H', W'); (B, 256, ceil(T / 4), ceil(H / 32), ceil(W / 32)) by default

    Raises:
        ValueError: If the depth is neither 18 nor 34.

    Example:
        >>> import torch
        >>> net = ResNet2d3d()
        >>> sum(p.numel() for p in net.parameters())
        14057536
        >>> net(torch.zeros(1, 3, 5, 128, 128)).shape
        torch.Size([1, 256, 2, 4, 4])
    """

    def __init__(
        self,
        depth: int = 18,
        base_channels: int = 64,
        *,
        conv1_kernel: Sequence[int] = (1, 7, 7),
        spatial_strides: Sequence[int] = (1, 2, 2, 2),
        temporal_strides: Sequence[int] = (1, 1, 2, 2),
        final_relu: bool = False,
        **kwargs: Any,
    ) -> None:
        check_choice(depth, "depth", (18, 34))
        defaults = dict(
            pretrained2d=False,  # no 2-D ResNet has such a narrow last stage
            with_pool2=False,
            inflate=(0, 0, 1, 1),
            zero_init_residual=False,
        )
        super().__init__(
            depth=depth,
            base_channels=base_channels,
            conv1_kernel=tuple(conv1_kernel),
            spatial_strides=spatial_strides,
            temporal_strides=temporal_strides,
            **(defaults | kwargs),
        )
        self.inplanes = self.feat_dim = self._width(base_channels * 2 ** (self.num_stages - 1))
        if not final_relu:
            self.get_submodule(self.res_layers[-1])[-1].relu = nn.Identity()

    def make_res_layer(self, block: type[nn.Module], inplanes: int, planes: int, blocks: int, **kwargs: Any) -> Any:
        """Build a stage as mmaction2 does, but no wider than the third."""
        planes = self._width(planes)
        layer = super().make_res_layer(block, inplanes, planes, blocks, **kwargs)
        stride = (kwargs["temporal_stride"], *[kwargs["spatial_stride"]] * 2)
        if layer[0].downsample is None and max(stride) > 1:  # mmaction2 only checks the spatial stride
            layer[0].downsample = ConvModule(
                inplanes,
                planes,
                kernel_size=1,
                stride=stride,
                bias=False,
                conv_cfg=kwargs["conv_cfg"],
                norm_cfg=kwargs["norm_cfg"],
                act_cfg=None,
            )
        return layer

    def init_weights(self, pretrained: str | None = None) -> None:
        """Initialize the weights, or load those that ``init_cfg`` or ``pretrained`` names."""
        super().init_weights(pretrained)
        if self.init_cfg:
            initialize(self, self.init_cfg)

    def train(self, mode: bool = True) -> ResNet2d3d:
        """Switch between training and evaluation mode, and return the module, unlike mmaction2's method."""
        super().train(mode)
        return self

    def _width(self, planes: int) -> int:
        return min(planes, 4 * self.base_channels)
