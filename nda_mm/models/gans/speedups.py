"""Faster versions of parts of mmagic's GANs with the same results: data preprocessor, EMA, BigGAN's block."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmagic.models.base_models import ExponentialMovingAverage
from mmagic.models.data_preprocessors import DataPreprocessor
from mmagic.models.editors.biggan.biggan_modules import BigGANDiscResBlock
from mmagic.structures import DataSample
from torch import Tensor, nn

from nda_mm.registry import MODELS

_IMAGE = "gt_img"


@MODELS.register_module()
class BatchDataPreprocessor(DataPreprocessor):
    """mmagic's ``DataPreprocessor`` with bit-identical results, in a few operations per batch.

    mmagic copies, converts and normalizes image by image: about four hundred small operations for a batch of 64, which
    on a GPU take longer than the training step of a small network. Here the images are stacked, copied once, and
    converted and normalized together.

    It also accepts a batch whose data sample is already stacked, as from a loop with ``data_on_device``
    (:mod:`nda_mm.engine.device_data`). Any batch other than equally sized training images under ``gt_img`` is left to
    mmagic's code.

    Args:
        kwargs: Arguments of mmagic's ``DataPreprocessor``.

    Example:
        In a recipe of a GAN::

            model = dict(data_preprocessor=dict(type="nda_mm.BatchDataPreprocessor", output_channel_order="RGB"))
    """

    #: Checked by the training loops before they pass stacked samples.
    takes_stacked_samples = True

    def forward(self, data: dict, training: bool = False) -> dict:
        """Move a batch to the device, convert its channel order and normalize it. See mmagic's ``forward``."""
        samples = data.get("data_samples")
        if not isinstance(samples, DataSample):
            if not training or not self._alike(data.get("inputs"), samples):
                return super().forward(data, training)
            data = dict(data, inputs={}, data_samples=DataSample.stack(samples))
        data = self.cast_data(data)
        self._convert(data["data_samples"], training)
        return data

    def _alike(self, inputs: Any, samples: Any) -> bool:
        """Return whether a list of samples can be processed as one batch."""
        if not self.stack_data_sample or self.data_keys != [_IMAGE] or self.input_view is not None:
            return False
        if not isinstance(inputs, Sequence) or any(not isinstance(each, dict) or each for each in inputs):
            return False  # the inputs contain images, too
        if not isinstance(samples, Sequence) or not samples or not all(_IMAGE in sample for sample in samples):
            return False
        kinds = {
            (each.gt_img.shape, each.gt_img.dtype, self._parse_channel_order(_IMAGE, each.gt_img, each))
            for each in samples
        }
        return len(kinds) == 1

    def _convert(self, sample: DataSample, training: bool) -> None:
        """Convert the images of a stacked sample in place, with the same meta information as mmagic."""
        images = sample.gt_img
        order = self._parse_channel_order(_IMAGE, images, sample)
        images, order = self._do_conversion(images, order, self.output_channel_order if training else "BGR")
        sample.set_data({_IMAGE: self._do_norm(images, training)})
        said = dict(enable_norm=self._enable_normalize, output_channel_order=order, mean=self.mean, std=self.std)
        sample.set_metainfo({f"{_IMAGE}_{name}": [value] * len(images) for name, value in said.items()})


@MODELS.register_module()
class BatchedMovingAverage(ExponentialMovingAverage):
    """mmagic's ``ExponentialMovingAverage`` with bit-identical results and the same checkpoints.

    mmagic updates parameter by parameter, copies all buffers twice, and reads its count of updates from the device,
    which must first finish all other work. Here all parameters are updated together, and the count is also kept as a
    Python number.

    Note:
        Buffers are copied from the generator in training, including the singular vectors of spectral normalization. The
        GANs of this package update these vectors when the EMA is used, see
        :func:`nda_mm.models.gans.sampling.own_spectral_norm`.

    Args:
        args, kwargs: Arguments of mmagic's class. ``update_buffers=True`` averages buffers too, with mmagic's code.

    Example:
        In a recipe of a GAN::

            model = dict(ema_config=dict(type="nda_mm.BatchedMovingAverage", momentum=1e-4, start_iter=1000))
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._counted: int | None = None  # self.steps as a Python number; None until first read

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        """Update the average with the weights of a model; at step 0, copy the model instead.

        Args:
            model: Generator in training, with the same architecture.
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
                # The same two operations as in mmagic, so that rounding is the same.
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


@MODELS.register_module()
class PooledBigGANDiscResBlock(BigGANDiscResBlock):
    """mmagic's ``BigGANDiscResBlock`` at less than half the cost when it downsamples.

    A 3x3 convolution followed by the mean over 2x2 pixels equals one 4x4 convolution with stride 2, and a 1x1
    convolution of the mean equals the mean of the 1x1 convolution. Results differ only by rounding. Weights keep their
    names and shapes.

    Args:
        args, kwargs: Arguments of mmagic's block. With ``sn_style='ajbrock'`` the block is unchanged.

    Example:
        In a config of mmagic::

            discriminator = dict(blocks_cfg=dict(type='nda_mm.PooledBigGANDiscResBlock'), sn_style='torch')
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.pools = self.with_downsample and type(self.conv2.conv) is nn.Conv2d
        if self.pools:
            self.conv2.conv.__class__ = _PooledConv2d  # in place: spectral norm has hooks on this layer

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output. Shape: (B, C, H, W) to (B, C', H / 2, W / 2) if it downsamples."""
        if not self.pools:
            return super().forward(x)
        out = x if self.is_head_block else self.activation(x)
        out = self.conv2(self.activation(self.conv1(out)))
        return out + self.shortcut(self.downsample(x))


class _PooledConv2d(nn.Conv2d):
    """A 3x3 convolution with padding 1, followed by the mean over 2x2 pixels."""

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        corners = ((0, 1, 0, 1), (1, 0, 0, 1), (0, 1, 1, 0), (1, 0, 1, 0))
        mean = torch.stack([F.pad(weight, corner) for corner in corners]).mean(dim=0)
        return F.conv2d(input, mean, bias, stride=2, padding=1)
