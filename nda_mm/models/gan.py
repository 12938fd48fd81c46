"""mmagic's GANs with negatives."""

from __future__ import annotations

from typing import Any

import torch
from mmagic.models.editors import BigGAN
from mmengine.optim import OptimWrapper
from torch import Tensor

from nda_mm.losses import generator_loss
from nda_mm.models.gan_bridge import NegativeDiscriminatorMixin
from nda_mm.registry import MODELS


@MODELS.register_module()
class NDABigGAN(NegativeDiscriminatorMixin, BigGAN):
    """mmagic's class-conditional BigGAN, its discriminator shown negatives.

    Overrides ``BigGAN.train_discriminator`` and ``BigGAN.gen_loss`` of mmagic 1.2; everything else, the alternation of
    the two networks, the accumulation of gradients and the moving average of the generator, is mmagic's own.

    With ``num_classes=1`` the model is unconditional: whatever labels the data carry, or if they carry none, every
    image is of class 0 (this is how the paper's authors train without classes).

    Args:
        *args, **kwargs: As :class:`mmagic.models.BigGAN` takes them.
        negative, fake_weight, adversarial_loss, discriminator_forward: See
            :class:`~nda_mm.models.gan_bridge.NegativeDiscriminatorMixin`.

    Raises:
        ValueError: See the mixin; and in training, if a conditional model gets images without labels.

    Example:
        In a config of mmagic::

            model = dict(type='nda_mm.NDABigGAN', negative=dict(type='Jigsaw', grid=2), fake_weight=0.25)
    """

    def gen_loss(self, disc_pred_fake: Tensor) -> tuple[Tensor, dict]:
        """The generator's loss, which negatives leave as it is."""
        return self.parse_losses({"loss_gen": generator_loss(disc_pred_fake, kind=self.adversarial_loss)})

    def data_sample_to_label(self, data_sample: Any) -> Tensor | None:
        """Labels of a batch, one number an image; all zero for a model of one class.

        mmagic's own pipeline stacks them as (B, 1), and its BigGAN discriminator then broadcasts each image's features
        against every label of the batch: its scores of real images come out as (B, B, C) instead of (B, 1).
        """
        label = super().data_sample_to_label(data_sample)
        if label is None:
            return None
        return torch.zeros_like(label).flatten() if self.num_classes == 1 else label.flatten()

    def train_discriminator(
        self, inputs: dict, data_samples: Any, optimizer_wrapper: OptimWrapper
    ) -> dict[str, Tensor]:
        """One step of the discriminator on real, generated and negative images."""
        fake_weight = self.begin_step(self.discriminator_steps * optimizer_wrapper._accumulative_counts)
        real_images = data_samples.gt_img
        count = len(real_images)
        real_label = self._real_label(data_samples, count)
        noise = self.noise_fn(num_batches=count)
        fake_label = self.label_fn(num_batches=count)
        with torch.no_grad():
            fake_images = self.generator(noise=noise, label=fake_label, return_noise=False)

        terms = self.discriminator_terms((real_images, real_label), (fake_images, fake_label), fake_weight)
        loss, log_vars = self.parse_losses(terms)
        optimizer_wrapper.update_params(loss)
        if self.negative is not None:
            log_vars["fake_weight"] = torch.tensor(fake_weight)
        return log_vars

    def _real_label(self, data_samples: Any, count: int) -> Tensor:
        label = self.data_sample_to_label(data_samples)
        if label is not None:
            return label
        if self.num_classes == 1:
            return torch.zeros(count, dtype=torch.long, device=self.device)
        raise ValueError(
            f"A GAN of {self.num_classes} classes needs the class of every real image, but the data carry no "
            "'gt_label'. Use a data set with labels (class subfolders), or set num_classes=1 in the "
            "model, its generator and its discriminator for an unconditional GAN."
        )
