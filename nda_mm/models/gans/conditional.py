"""mmagic's class-conditional GANs with negatives: BigGAN, SAGAN and SNGAN (mmagic 1.2)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from inspect import signature
from typing import Any

import torch
from mmagic.models.editors import SAGAN, BigGAN
from mmagic.models.editors.biggan import BigGANDiscriminator
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper
from torch import Tensor

from nda_mm.models.gans.cuda_graphs import GraphedStep, can_capture
from nda_mm.models.gans.mixin import Labeled, NDAMixin
from nda_mm.registry import MODELS

__all__ = ["NDASAGAN", "NDASNGAN", "ClassConditionalMixin", "NDABigGAN"]


class ClassConditionalMixin(NDAMixin):
    """Adds negatives to the step of a class-conditional GAN. A negative keeps the label of its source image.

    With ``num_classes=1`` the model is unconditional: every image has class 0, whether or not the data has labels (as
    in the paper's code). ``num_classes=0`` or None is for networks without classes.

    Args:
        args, kwargs: Arguments of :class:`~nda_mm.models.gans.mixin.NDAMixin` and of the base class.
        cuda_graphs: Whether to capture the steps of both networks as CUDA graphs, and to draw noise and labels
            on the device. The host then launches a step with one call. Steps run eagerly if training does not run on
            one GPU, or with a loss scaler, accumulated or clipped gradients, ADA, or an optimizer that has no
            ``capturable`` setting as Adam has. A step is captured again when the optimizer's settings change, so with a
            learning rate that changes in every step, every step runs eagerly. ``fake_weight`` may change. Defaults to
            False.
    """

    def __init__(self, *args: Any, cuda_graphs: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.cuda_graphs = cuda_graphs
        self.graphed = {"discriminator": GraphedStep(), "generator": GraphedStep()}

    @property
    def uses_graphs(self) -> bool:
        """Whether training steps are captured, if the optimizers allow it."""
        if not self.cuda_graphs or self.observes_logits or is_model_wrapper(self.discriminator):
            return False
        return self.device.type == "cuda"  # type: ignore[attr-defined]

    def noise_fn(self, noise: Any = None, num_batches: int = 1) -> Tensor:
        """Return noise as mmagic does, which draws on the host; in a captured step, draw on the device."""
        if noise is None and self.training and self.uses_graphs:
            noise = partial(torch.randn, device=self.device)
        return super().noise_fn(noise, num_batches)  # type: ignore[misc]

    def label_fn(self, label: Any = None, num_batches: int = 1) -> Tensor | None:
        """Return labels as mmagic does, which draws on the host; in a captured step, draw on the device."""
        if label is None and self.training and self.num_classes and self.uses_graphs:
            return torch.randint(self.num_classes, (num_batches,), device=self.device)
        return super().label_fn(label, num_batches)  # type: ignore[misc]

    def captures(self, optimizer_wrapper: OptimWrapper) -> bool:
        """Return whether the step that ends with this wrapper's update is captured as a CUDA graph."""
        return self.uses_graphs and can_capture(optimizer_wrapper)

    def update_discriminator(
        self, real: Tensor, label: Tensor | None, fake_weight: Any, optimizer_wrapper: OptimWrapper
    ) -> dict[str, Tensor]:
        """Update the discriminator, as a CUDA graph if that is enabled and possible."""
        update = super().update_discriminator
        if not self.captures(optimizer_wrapper):
            return update(real, label, fake_weight, optimizer_wrapper)
        inputs = {"real": real}
        if label is not None:
            inputs["label"] = label
        if fake_weight < 1.0:  # a tensor, so that a schedule can change it between replays
            inputs["fake_weight"] = torch.full((), fake_weight, device=real.device)
        update = partial(update, label=None, fake_weight=1.0, optimizer_wrapper=optimizer_wrapper)
        choice = None if self.negative is None else self.negative.choice()
        return self.graphed["discriminator"](update, inputs, optimizer_wrapper, key=choice)

    def train_generator(self, inputs: dict, data_samples: Any, optimizer_wrapper: OptimWrapper) -> dict[str, Tensor]:
        """Run mmagic's step of the generator, as a CUDA graph if that is enabled and possible."""
        update = partial(super().train_generator, inputs, data_samples, optimizer_wrapper)  # type: ignore[misc]
        if not self.captures(optimizer_wrapper):
            return update()
        return self.graphed["generator"](update, {}, optimizer_wrapper, key=len(data_samples))

    def data_sample_to_label(self, data_sample: Any) -> Tensor | None:
        """Return the labels of a batch, one number per image; all zero for a model with one class.

        mmagic's own pipeline stacks them as (B, 1), and its discriminators then broadcast every label against the
        features of all images of the batch: scores of real images have the shape (B, B, C) in BigGAN and (B, B * C) in
        SAGAN and SNGAN, instead of (B, 1). Flat labels avoid this; with them, mmagic's run equals ours bit for bit.
        """
        label = super().data_sample_to_label(data_sample)  # type: ignore[misc]
        if label is None:
            return None
        return torch.zeros_like(label).flatten() if self.num_classes == 1 else label.flatten()

    def uses_base_step(self, fake_weight: float) -> bool:
        """Return False: mmagic's step fails on images without labels, and otherwise equals ours bit for bit."""
        return False

    def real_batch(self, inputs: Any, data_samples: Any) -> Labeled:
        """Return the real images of a step and their labels.

        Raises:
            ValueError: If a model with several classes gets images without labels.
        """
        images = data_samples.gt_img
        if not self.num_classes:
            return images, None
        label = self.data_sample_to_label(data_samples)
        if label is None and self.num_classes == 1:
            label = torch.zeros(len(images), dtype=torch.long, device=images.device)
        if label is None:
            raise ValueError(
                f"A GAN with {self.num_classes} classes needs a 'gt_label' for every image. Use a data set with class "
                "subfolders, or set num_classes=1 in model, generator and discriminator for an unconditional GAN."
            )
        return images, label

    def generated_batch(self, count: int) -> Labeled:
        """Return generated images of random classes and their labels."""
        noise = self.noise_fn(num_batches=count)
        label = self.label_fn(num_batches=count) if self.num_classes else None
        with torch.no_grad():
            return self.generator(noise=noise, label=label, return_noise=False), label


@MODELS.register_module("NDASNGAN")
@MODELS.register_module()
class NDASAGAN(ClassConditionalMixin, SAGAN):
    """SAGAN (Zhang et al., 2019, https://arxiv.org/abs/1805.08318), SNGAN and the projection GAN, with negatives.

    As in mmagic, one class serves SAGAN and SNGAN (Miyato et al., 2018, https://arxiv.org/abs/1802.05957) under both
    names; only the networks differ. It also trains without classes (``num_classes=0``), which mmagic's own step does
    not support. Without negatives and in ``'separate'`` mode, a run equals mmagic's bit for bit, except for the labels
    of real images: see
    :meth:`~nda_mm.models.gans.conditional.ClassConditionalMixin.data_sample_to_label`.

    Example:
        In a config of mmagic::

            model = dict(type='nda_mm.NDASAGAN', negative=dict(type='Jigsaw', grid=2), fake_weight=0.25)
    """


NDASNGAN = NDASAGAN  # both names, as in mmagic


@MODELS.register_module()
class NDABigGAN(ClassConditionalMixin, BigGAN):
    """BigGAN (Brock et al., 2019, https://arxiv.org/abs/1809.11096) with negatives, the paper's network.

    Alternating updates, gradient accumulation and the EMA come from mmagic. Any image size works: 32 pixels as in the
    paper (CIFAR-10), 128 and 256 as in mmagic's recipes for ImageNet.

    Args:
        args, kwargs: Arguments of :class:`mmagic.models.BigGAN`.
        negative, fake_weight, adversarial_loss, discriminator_forward: See
            :class:`~nda_mm.models.gans.mixin.NDAMixin`.
        cuda_graphs: See :class:`ClassConditionalMixin`.

    Raises:
        ValueError: See the mixin; also, in training, if a conditional model gets images without labels.

    Example:
        In a config of mmagic::

            model = dict(type='nda_mm.NDABigGAN', negative=dict(type='Jigsaw', grid=2), fake_weight=0.25)
    """

    def __init__(self, generator: Any, discriminator: Any = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(generator, complete_layout(discriminator), *args, **kwargs)


def complete_layout(discriminator: Any) -> Any:
    """Complete the layout of a BigGAN discriminator for 256 or 512 pixels.

    mmagic 1.2's layouts for these sizes lack the attention flag of the last block, and fail with an ``IndexError``.
    """
    if not isinstance(discriminator, Mapping) or discriminator.get("input_scale") not in (256, 512):
        return discriminator
    if str(discriminator.get("type")).split(".")[-1] != "BigGANDiscriminator" or discriminator.get("arch_cfg"):
        return discriminator
    defaults = signature(BigGANDiscriminator).parameters
    given = {name: discriminator.get(name, defaults[name].default) for name in ("in_channels", "base_channels")}
    layout = BigGANDiscriminator._get_default_arch_cfg(None, discriminator["input_scale"], **given)
    missing = len(layout["out_channels"]) - len(layout["attention"])
    return {**discriminator, "arch_cfg": {**layout, "attention": [*layout["attention"], *[False] * missing]}}
