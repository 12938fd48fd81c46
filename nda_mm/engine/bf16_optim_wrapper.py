"""Mixed precision in bfloat16, on a GPU or a CPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from mmengine.optim import OptimWrapper
from mmengine.runner.amp import autocast
from torch import nn

from nda_mm.registry import OPTIM_WRAPPERS

from .bf16_convolutions import WideSmallConvolutions


@OPTIM_WRAPPERS.register_module()
class BF16OptimWrapper(OptimWrapper):
    """An optimizer wrapper whose forward passes run in bfloat16 where torch holds that safe.

    mmengine 0.10's ``AmpOptimWrapper`` refuses to work without a GPU, and scales the loss. bfloat16 has float32's
    range, so no gradient is lost for being small, and nothing need be scaled; weights, gradients and the optimizer stay
    in float32. So do the few convolutions that a CPU gets wrong; see :mod:`nda_mm.engine.bf16_convolutions`.

    Args:
        optimizer: The optimizer.
        kwargs: As mmengine's ``OptimWrapper``: ``accumulative_counts``, ``clip_grad``.

    Example:
        >>> layer = nn.Linear(2, 2)
        >>> wrapper = BF16OptimWrapper(torch.optim.SGD(layer.parameters(), lr=0.1))
        >>> with wrapper.optim_context(layer):
        ...     layer(torch.ones(1, 2)).dtype
        torch.bfloat16
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Autocast, beside what mmengine does to hold back gradient exchange while accumulating.

        Args:
            model: The model, or the part of it, that is about to run.
        """
        first = next(model.parameters(), None)
        # It looks at every operation, which a GPU, whose convolutions are right, would have to wait for.
        mended = nullcontext() if first is not None and first.is_cuda else WideSmallConvolutions()
        with super().optim_context(model), autocast(dtype=torch.bfloat16), mended:
            yield

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load an optimizer's state, also of a run in float16, whose loss scaler is left out.

        Args:
            state_dict: From this class or from mmengine's other wrappers.
        """
        super().load_state_dict({key: value for key, value in state_dict.items() if key != "loss_scaler"})
