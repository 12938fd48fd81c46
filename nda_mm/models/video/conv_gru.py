"""A gated recurrent unit whose state is a feature map."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.model import BaseModule
from torch import nn

from nda_mm.registry import MODELS


@MODELS.register_module()
class ConvGRU(BaseModule):
    r"""Gated recurrent unit with convolutions in place of matrices, of one layer.

    .. math::
        u = \sigma(W_u * [x, h]), \quad r = \sigma(W_r * [x, h]), \quad
        c = \tanh(W_c * [x, r h]), \quad h' = (1 - u) h + u c

    With kernels of one, as in DPC, places do not mix. The weights start orthogonal, the biases at zero. Dropout is
    applied to the new state, as in DPC: to the output and to the state from which the next step starts.

    Source: N. Ballas, L. Yao, C. Pal, A. Courville, Delving Deeper into Convolutional Networks for Learning Video
    Representations, ICLR 2016, https://arxiv.org/abs/1511.06432; T. Han, W. Xie, A. Zisserman, Video Representation
    Learning by Dense Predictive Coding, 2019, section 3.1, https://arxiv.org/abs/1909.04656.

    Args:
        in_channels: Channels of the inputs.
        hidden_channels: Channels of the state. Default None: as many as the inputs have.
        kernel_size: Side of the kernels in places, odd. Defaults to 1.
        dropout: Share of the state's entries that are dropped at every step, in [0, 1). Defaults to 0.1.
        init_cfg: As in mmengine. Defaults to None.

    Shape:
        - x: (B, N, C, H, W), N steps
        - hidden: (B, hidden_channels, H, W)
        - Outputs: (B, N, hidden_channels, H, W) and (B, hidden_channels, H, W)

    Raises:
        ValueError: If the kernel is even.

    Example:
        >>> steps, last = ConvGRU(8, 16)(torch.zeros(2, 5, 8, 4, 4))
        >>> steps.shape, torch.equal(steps[:, -1], last)
        (torch.Size([2, 5, 16, 4, 4]), True)
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int | None = None,
        kernel_size: int = 1,
        dropout: float = 0.1,
        init_cfg: dict[str, Any] | list[dict[str, Any]] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd, so that the state keeps its size, but got {kernel_size}")
        self.in_channels = in_channels
        self.hidden_channels = in_channels if hidden_channels is None else hidden_channels
        both = self.in_channels + self.hidden_channels
        self.update_gate, self.reset_gate, self.candidate = (
            nn.Conv2d(both, self.hidden_channels, kernel_size, padding=kernel_size // 2) for _ in range(3)
        )
        for name, parameter in self.named_parameters():
            (nn.init.zeros_ if name.endswith("bias") else nn.init.orthogonal_)(parameter)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: torch.Tensor, hidden: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """Run the unit over all steps.

        Args:
            x: Inputs of the steps.
            hidden: The state to start from. Default None: zeros.

        Returns:
            The state after every step, and after the last.
        """
        if hidden is None:
            hidden = x.new_zeros(x.shape[0], self.hidden_channels, *x.shape[3:])
        states = []
        for step in x.unbind(1):
            hidden = self._advance(step, hidden)
            states.append(hidden)
        return torch.stack(states, 1), hidden

    def _advance(self, step: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        both = torch.cat([step, hidden], 1)
        update, reset = torch.sigmoid(self.update_gate(both)), torch.sigmoid(self.reset_gate(both))
        candidate = torch.tanh(self.candidate(torch.cat([step, hidden * reset], 1)))
        return self.dropout(hidden * (1 - update) + candidate * update)
