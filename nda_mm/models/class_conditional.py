"""What class-conditional GANs add to the bridge: labels of the real images, of the generated and of the negatives."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from nda_mm.models.gan_bridge import Labelled, NegativeDiscriminatorMixin

__all__ = ["ClassConditionalMixin"]


class ClassConditionalMixin(NegativeDiscriminatorMixin):
    """The bridge for a GAN with classes; a negative bears the label of its source.

    With ``num_classes=1`` the model is unconditional: whatever labels the data carry, or if they carry none, every
    image is of class 0 (this is how the paper's authors train without classes). ``num_classes=0`` or None is for
    networks that have no classes at all.
    """

    num_classes: int | None

    def data_sample_to_label(self, data_sample: Any) -> Tensor | None:
        """Labels of a batch, one number an image; all zero for a model of one class.

        mmagic's own pipeline stacks them as (B, 1), and its discriminators then broadcast every label against the
        features of all images of the batch: scores of real images come out as (B, B, C) from BigGAN's and (B, B * C)
        from SAGAN's and SNGAN's, instead of (B, 1). A whole run of a stock recipe therefore differs from one here
        without negatives, which is bit for bit the run that mmagic would make of flat labels.
        """
        label = super().data_sample_to_label(data_sample)  # type: ignore[misc]
        if label is None:
            return None
        return torch.zeros_like(label).flatten() if self.num_classes == 1 else label.flatten()

    def is_hosts_step(self, fake_weight: float) -> bool:
        """Never: the host's refuses images without labels, with a bare assertion, and ours is the same bit for bit."""
        return False

    def real_batch(self, inputs: Any, data_samples: Any) -> Labelled:
        """The real images of a step and their labels.

        Raises:
            ValueError: If a model of several classes gets images without labels.
        """
        images = data_samples.gt_img
        if not self.num_classes:
            return images, None
        label = self.data_sample_to_label(data_samples)
        if label is None and self.num_classes == 1:
            label = torch.zeros(len(images), dtype=torch.long, device=images.device)
        if label is None:
            raise ValueError(
                f"A GAN of {self.num_classes} classes needs the class of every real image, but the data carry no "
                "'gt_label'. Use a data set with labels (class subfolders), or set num_classes=1 in the "
                "model, its generator and its discriminator for an unconditional GAN."
            )
        return images, label

    def generated_batch(self, count: int) -> Labelled:
        """Generated images of random classes."""
        noise = self.noise_fn(num_batches=count)  # type: ignore[attr-defined]
        label = self.label_fn(num_batches=count) if self.num_classes else None  # type: ignore[attr-defined]
        with torch.no_grad():
            return self.generator(noise=noise, label=label, return_noise=False), label
