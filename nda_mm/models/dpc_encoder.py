"""What DPC has learned, as a backbone: blocks of frames encoded one by one, then read in turn by a recurrent unit."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.model import BaseModule

from nda_mm.registry import MODELS

from .block_encoding import BlockEncoding


@MODELS.register_module()
class DPCEncoder(BlockEncoding, BaseModule):
    """Backbone and aggregator of Dense Predictive Coding, for mmaction2's ``Recognizer3D``.

    A clip is cut into ``num_blocks`` blocks of as many frames each. The backbone sees one block at a time; the mean
    over the time left in its features is the block's feature map. The aggregator reads the blocks in turn, after a
    ReLU, and its last state is the context, which is handed on.

    The parts are called ``backbone`` and ``aggregator`` as in ``nda_mm.DPC``, so that a checkpoint of the pretraining
    fits without conversion: ``init_cfg=dict(type='Pretrained', checkpoint=...)``. Its predictor is left out.

    The authors' classifier takes the ReLU before the mean over time, their pretraining after it. Here it is after the
    mean in both, so that the aggregator is given what it was trained on.

    Source: T. Han, W. Xie, A. Zisserman, Video Representation Learning by Dense Predictive Coding, 2019, sections 3.1
    and 4.3, https://arxiv.org/abs/1909.04656.

    Args:
        backbone: Config of a network (B, C, L, H, W) -> (B, D, L', h, w) that keeps places apart, such as
            ``nda_mm.ResNet2d3d``.
        aggregator: Config of a recurrent unit such as ``nda_mm.ConvGRU``. Its ``in_channels`` are D.
        num_blocks: Blocks of a clip. Defaults to 8.
        frozen: Whether weights and normalisations are held: nothing is trained, running statistics neither, there is no
            dropout and no gradient, so that a clip has the same features throughout. Defaults to False.
        init_cfg: As in mmengine. Defaults to None.

    Shape:
        - Input: (B, C, num_blocks * L, H, W)
        - Output: (B, aggregator.hidden_channels, 1, h, w)

    Raises:
        ValueError: If a number is out of its range, or the channels of backbone and aggregator differ.

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
        if not isinstance(num_blocks, int) or num_blocks < 1:
            raise ValueError(f"num_blocks must be an integer of at least 1, but got {num_blocks!r}")
        self.num_blocks, self.frozen = num_blocks, frozen
        self.build_parts(backbone, aggregator)
        if frozen:
            self.requires_grad_(False)
            self.train()

    def forward(self, clip: torch.Tensor) -> torch.Tensor:
        """The context of clips, with a time of one, as mmaction2's heads take it.

        Raises:
            ValueError: If the frames are no whole number of blocks.
        """
        if clip.ndim != 5 or clip.shape[2] % self.num_blocks or clip.shape[2] == 0:
            raise ValueError(
                f"a clip (B, C, T, H, W) is cut into num_blocks={self.num_blocks} blocks of as many frames each, but "
                f"got {tuple(clip.shape)}; set clip_len of SampleFrames to a multiple of num_blocks"
            )
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            blocks = clip.unflatten(2, (self.num_blocks, -1)).transpose(1, 2)
            return self.aggregate(self.encode(blocks)).unsqueeze(2)

    def train(self, mode: bool = True) -> DPCEncoder:
        """Switch between training and evaluation; a frozen encoder stays in evaluation."""
        super().train(mode and not self.frozen)
        return self
