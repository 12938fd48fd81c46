"""Action recognition from pretrained weights: DPC's encoder and classifier, and temporal shift for any ResNet."""

from __future__ import annotations

from typing import Any

import torch
from mmaction.models.backbones.resnet_tsm import TemporalShift
from mmaction.models.heads import BaseHead
from mmengine.model import BaseModule
from torch import nn

from nda_mm.models.video.dpc import BlockEncoding
from nda_mm.registry import MODELS


@MODELS.register_module()
class DPCEncoder(BlockEncoding, BaseModule):
    """Backbone and aggregator of Dense Predictive Coding, for mmaction2's ``Recognizer3D``.

    A clip is cut into ``num_blocks`` blocks of equal length. The backbone sees one block at a time; its features are
    averaged over time. The aggregator reads the blocks in turn, after a ReLU, and its last state is the output.

    The parts are called ``backbone`` and ``aggregator`` as in ``nda_mm.DPC``, so that a pretraining checkpoint loads
    without conversion: ``init_cfg=dict(type='Pretrained', checkpoint=...)``. The checkpoint's predictor is left out.

    The authors' classifier applies the ReLU before the mean over time, their pretraining after it. Here it comes after
    the mean in both, as the aggregator was trained.

    Source: T. Han, W. Xie, A. Zisserman, Video Representation Learning by Dense Predictive Coding, 2019, sections 3.1
    and 4.3, https://arxiv.org/abs/1909.04656.

    Args:
        backbone: Config of a network (B, C, L, H, W) -> (B, D, L', h, w) that returns feature maps, such as
            ``nda_mm.ResNet2d3d``.
        aggregator: Config of a recurrent unit such as ``nda_mm.ConvGRU``. Its ``in_channels`` must be D.
        num_blocks: Number of blocks of a clip. Defaults to 8.
        frozen: Whether to freeze the encoder: weights and running statistics are fixed, and there is no dropout.
            Defaults to False.
        init_cfg: Initialization config of mmengine. Defaults to None.

    Shape:
        - Input: (B, C, num_blocks * L, H, W)
        - Output: (B, aggregator.hidden_channels, 1, h, w)

    Raises:
        ValueError: If the channels of the backbone and the aggregator differ.

    Example:
        >>> small = dict(type="nda_mm.ResNet2d3d", base_channels=4)
        >>> encoder = DPCEncoder(small, dict(type="nda_mm.ConvGRU", in_channels=16), num_blocks=4)
        >>> encoder(torch.zeros(2, 3, 20, 64, 64)).shape
        torch.Size([2, 16, 1, 2, 2])
    """

    def __init__(
        self,
        backbone: dict[str, Any],
        aggregator: dict[str, Any],
        num_blocks: int = 8,
        frozen: bool = False,
        init_cfg: dict[str, Any] | list[dict[str, Any]] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.num_blocks, self.frozen = num_blocks, frozen
        self.build_parts(backbone, aggregator)
        if frozen:
            self.requires_grad_(False)
            self.train()

    def forward(self, clip: torch.Tensor) -> torch.Tensor:
        """Return the context of clips, with a time dimension of 1, as mmaction2's heads expect it.

        Raises:
            ValueError: If the number of frames is not a multiple of ``num_blocks``.
        """
        if clip.ndim != 5 or clip.shape[2] % self.num_blocks:
            raise ValueError(
                f"clips (B, C, T, H, W) must have a T that is a multiple of num_blocks={self.num_blocks}, but got "
                f"{tuple(clip.shape)}; set clip_len of SampleFrames"
            )
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            blocks = clip.unflatten(2, (self.num_blocks, -1)).transpose(1, 2)
            return self.aggregate(self.encode(blocks)).unsqueeze(2)

    def train(self, mode: bool = True) -> DPCEncoder:
        """Switch between training and evaluation mode; a frozen encoder stays in evaluation mode."""
        super().train(mode and not self.frozen)
        return self


@MODELS.register_module()
class DPCHead(BaseHead):
    """DPC's action classifier: average pooling, batch normalization, dropout and a linear layer.

    Batch normalization scales the contexts, which are mostly small, to unit variance. The linear layer is initialized
    orthogonally with a bias of zero, as in the authors' code.

    Source: T. Han, W. Xie, A. Zisserman, Video Representation Learning by Dense Predictive Coding, 2019, section 4.3,
    https://arxiv.org/abs/1909.04656; layers, dropout and initialization from https://github.com/TengdaHan/DPC.

    Args:
        num_classes: Number of classes.
        in_channels: Channels of the features. Defaults to 256.
        dropout_ratio: Share of the features that are dropped in training, in [0, 1). Defaults to 0.5.
        kwargs: Further arguments of mmaction2's BaseHead, such as ``loss_cls``, ``average_clips``, ``topk``.

    Shape:
        - Input: (B, C, T, H, W), averaged over T, H and W; T is 1 after :class:`DPCEncoder`
        - Output: (B, num_classes), scores before the softmax

    Example:
        >>> DPCHead(num_classes=101)(torch.randn(2, 256, 1, 4, 4)).shape
        torch.Size([2, 101])
    """

    def __init__(self, num_classes: int, in_channels: int = 256, dropout_ratio: float = 0.5, **kwargs: Any) -> None:
        super().__init__(num_classes, in_channels, **kwargs)
        self.norm = nn.BatchNorm1d(in_channels)
        self.dropout = nn.Dropout(dropout_ratio)
        self.fc_cls = nn.Linear(in_channels, num_classes)

    def init_weights(self) -> None:
        """Initialize the linear layer; the normalization starts as the identity."""
        super().init_weights()
        nn.init.orthogonal_(self.fc_cls.weight)
        nn.init.zeros_(self.fc_cls.bias)

    def forward(self, x: torch.Tensor, **_: Any) -> torch.Tensor:
        """Return the scores of the classes."""
        return self.fc_cls(self.dropout(self.norm(x.mean(dim=(2, 3, 4)))))


@MODELS.register_module()
class ShiftedBackbone(BaseModule):
    """A residual 2-D backbone with temporal shift: its blocks see some channels of the previous and the next frame.

    Source: J. Lin, C. Gan, S. Han, TSM: Temporal Shift Module for Efficient Video Understanding, ICCV 2019, section 3,
    the residual shift; https://arxiv.org/abs/1811.08383.

    ``ResNetTSM`` of mmaction2 1.2 is a ResNet of width 64 with a 7x7 stem, for frames of 224 pixels, and it renames the
    convolutions that it shifts. This class works with any residual backbone: a module hook shifts the input of the
    first convolution of every block. Names do not change, so pretrained checkpoints load:
    ``net=dict(..., init_cfg=dict(type='Pretrained', checkpoint=...))``.

    Args:
        net: Config of the backbone. Its stages must be named ``layer1`` and so on, and contain residual blocks with a
            ``conv1``, as in the ResNets of mmpretrain, mmdet and mmaction2.
        num_segments: Number of frames of a clip. Defaults to 8.
        shift_div: 1 / shift_div of the channels come from the next frame, and as many from the previous one. Defaults
            to 8.
        init_cfg: Initialization config of mmengine. To load weights, use that of ``net``. Defaults to None.

    Shape:
        - Input: (B * num_segments, C, H, W), the frames of a clip one after the other.
        - Output: (B * num_segments, C', H', W')

    Raises:
        ValueError: If ``net`` has no such residual blocks.

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
        self.num_segments, self.shift_div = num_segments, shift_div
        self.net = MODELS.build(net)
        stages = [stage for name, stage in self.net.named_children() if name.startswith("layer")]
        blocks = [block for stage in stages for block in stage.children() if hasattr(block, "conv1")]
        if not blocks:
            raise ValueError(f"net must have residual blocks with a conv1 in its stages, but got {net!r}")
        for block in blocks:
            block.conv1.register_forward_pre_hook(self._shift)

    def forward(self, x: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, ...]:
        """Return the features of the frames."""
        if len(x) % self.num_segments:
            raise ValueError(
                f"num_segments must divide the number of frames, but got {self.num_segments} for {len(x)} frames; set "
                "it to num_clips of SampleFrames"
            )
        features = self.net(x)
        # mmpretrain's backbones return a tuple, which Recognizer2D does not expect from this class.
        return features[0] if isinstance(features, tuple) and len(features) == 1 else features

    def _shift(self, _: nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        x = inputs[0].contiguous()  # mmaction2 calls view() on it
        return (TemporalShift.shift(x, self.num_segments, self.shift_div), *inputs[1:])
