"""mmagic's EMA of a generator, in a few operations and without waiting for the device."""

from __future__ import annotations

from typing import Any

import torch
from mmagic.models.base_models import ExponentialMovingAverage
from torch import nn

from nda_mm.registry import MODELS

__all__ = ["BatchedMovingAverage"]


@MODELS.register_module()
class BatchedMovingAverage(ExponentialMovingAverage):
    """mmagic's ``ExponentialMovingAverage`` with the same results, bit for bit, and the same checkpoints.

    mmagic updates parameter by parameter, copies all buffers twice, and reads its count of updates from the device,
    which must first finish everything else. Here all parameters are updated together and the count is also a Python
    number.

    Note:
        Buffers are copied from the generator in training, singular vectors of spectral normalization too. The GANs of
        this package update these when the EMA is used, see :func:`nda_mm.models.gans.sampling.own_spectral_norm`.

    Args:
        args, kwargs: Those of mmagic's class; ``update_buffers=True`` averages buffers too, by mmagic's code.

    Example:
        In a recipe of a GAN::

            model = dict(ema_config=dict(type="nda_mm.BatchedMovingAverage", momentum=1e-4, start_iter=1000))
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._counted: int | None = None  # self.steps as a number; None until it is read once

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        """Move the average towards a model; the first time, and after a load at step 0, copy it.

        Args:
            model: The generator in training, of the same architecture.
        """
        if self.update_buffers:
            super().update_parameters(model)
            return
        if self._counted is None:
            self._counted = int(self.steps)
        if self._counted == 0:
            self.sync_parameters(model)
        else:
            if self._counted % self.interval == 0:
                averages = [each.data for each in self.module.parameters() if each.is_floating_point()]
                own = [each.data for each in model.parameters() if each.is_floating_point()]
                sources = [source.to(each.device) for each, source in zip(averages, own, strict=True)]
                # mmagic's two operations, so that sums are rounded alike.
                torch._foreach_mul_(averages, 1 - self.momentum)
                torch._foreach_add_(averages, sources, alpha=self.momentum)
            self.sync_buffers(model)
        self.steps += 1
        self._counted += 1

    @torch.no_grad()
    def sync_buffers(self, model: nn.Module) -> None:
        """Copy the buffers of a model."""
        if self.update_buffers:
            super().sync_buffers(model)
            return
        _copy(list(self.module.buffers()), list(model.buffers()))

    @torch.no_grad()
    def sync_parameters(self, model: nn.Module) -> None:
        """Copy the parameters and the buffers of a model."""
        _copy([*self.module.parameters(), *self.module.buffers()], [*model.parameters(), *model.buffers()])

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._counted = None


def _copy(targets: list[torch.Tensor], sources: list[torch.Tensor]) -> None:
    if targets:
        torch._foreach_copy_([each.data for each in targets], [each.data for each in sources])
