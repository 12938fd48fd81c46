"""A hook that uses the transforms of negatives as positive augmentation, the control experiment of NDA."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn
from torch.utils.hooks import RemovableHandle

from nda_mm.engine.resume import model_of
from nda_mm.negatives import Negative, build_negative
from nda_mm.registry import HOOKS


@HOOKS.register_module()
class PositiveTransformHook(Hook):
    r"""Transform every real image of a training batch before a GAN of mmagic sees it.

    The discriminator treats :math:`T(x)` as data, so the generator learns the distribution of :math:`T(x)`, which is
    the wrong one if :math:`T` makes negatives.

    Source: Sinha et al., "Negative Data Augmentation", ICLR 2021, https://arxiv.org/abs/2102.05113, who compare the
    same transforms as negative and as positive augmentation.

    The hook works on the output of the data preprocessor, so that transforms of two images find a partner in the batch.
    Metrics see the real images unchanged. A model with negatives raises an error, since it would make them from
    transformed images.

    Args:
        transform: Transform or its config, such as ``dict(type='Jigsaw', grid=2)``, in the form that
            the GANs take as ``negative``.

    Raises:
        ValueError: At the start, if the model has a negative. In training, if it is not a GAN of single images.

    Example:
        In a config::

            custom_hooks = [dict(type='nda_mm.PositiveTransformHook', transform=dict(type='Jigsaw', grid=2))]
    """

    def __init__(self, transform: Mapping[str, Any] | Negative) -> None:
        self.transform = build_negative(transform)
        self._handle: RemovableHandle | None = None

    def before_train(self, runner: Runner) -> None:
        """Register a forward hook on the data preprocessor."""
        model = model_of(runner)
        if getattr(model, "negative", None) is not None:
            raise ValueError(
                "PositiveTransformHook does not work with a model that makes negatives; set model.negative=None."
            )
        self._handle = model.data_preprocessor.register_forward_hook(self._transform_batch)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Set the iteration, for a transform with a curriculum."""
        self.transform.set_iteration(runner.iter)

    def after_train(self, runner: Runner) -> None:
        """Remove the forward hook."""
        if self._handle is not None:
            self._handle.remove()
            self._handle = None

    @torch.no_grad()
    def _transform_batch(self, preprocessor: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        if not preprocessor.training:
            return  # metrics need the real images
        sample: Any = output.get("data_samples") if isinstance(output, dict) else None
        if not isinstance(getattr(sample, "gt_img", None), torch.Tensor):
            raise ValueError(
                "PositiveTransformHook needs a GAN of mmagic with images in data_samples.gt_img, but "
                f"{type(preprocessor).__name__} returns none."
            )
        sample.gt_img = self.transform.to(sample.gt_img.device)(sample.gt_img)
