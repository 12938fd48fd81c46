"""Convolutions that the CPU gets wrong in bfloat16, done in float32."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

_CONVOLUTIONS = (F.conv1d, F.conv2d, F.conv3d)


class WideSmallConvolutions(TorchFunctionMode):
    """Within it, a convolution on the CPU whose kernel is longer than its input in some direction is not autocast.

    oneDNN 3.10.2, which torch 2.11 uses, gives garbage for the **weights' gradient** of such a convolution in bfloat16
    on processors with AVX-512 BF16: memory that nobody has written is read. Seen with kernels of 3 frames on inputs of
    2, as in the last stage of every 3-D ResNet on short clips, and of 3x3 on 1x1 with stride 2; the output and the
    input's gradient are right, so that nothing shows but a loss that becomes NaN, or worse, does not. Such inputs are
    small; doing them in float32 costs next to nothing.

    A layer recomputed in the backward pass (``torch.utils.checkpoint``) is outside of it, and torch says so.

    Example:
        >>> layer, clip = torch.nn.Conv3d(4, 4, 3, padding=1), torch.ones(1, 4, 2, 8, 8)
        >>> with torch.autocast("cpu", dtype=torch.bfloat16), WideSmallConvolutions():
        ...     layer(clip).dtype, layer(clip.repeat(1, 1, 2, 1, 1)).dtype
        (torch.float32, torch.bfloat16)
    """

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in _CONVOLUTIONS and len(args) >= 2 and torch.is_autocast_enabled("cpu"):
            x, weight = args[:2]
            spatial = weight.ndim - 2
            if not x.is_cuda and any(k > n for k, n in zip(weight.shape[-spatial:], x.shape[-spatial:])):
                wide: Any = [value.float() if isinstance(value, torch.Tensor) else value for value in args]
                with torch.autocast("cpu", enabled=False):
                    return func(*wide, **kwargs)
        return func(*args, **kwargs)
