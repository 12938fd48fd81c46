"""What every GAN with negatives shares: making them, scoring them beside the other images, weighing the terms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmengine import MessageHub
from torch import Tensor, nn

from nda_mm.losses import check_fake_weight, check_kind, discriminator_loss
from nda_mm.negatives import Negative, build_negative
from nda_mm.schedules import as_schedule

FORWARD_MODES = ("auto", "joint", "separate")

#: Images and the class labels that a conditional discriminator reads beside them (``None`` for an unconditional one).
Labelled = tuple[Tensor, "Tensor | None"]


def mixes_samples(discriminator: nn.Module) -> list[str]:
    """Names of the layers through which one sample of a batch changes the score of another.

    Batch normalisation and the minibatch standard deviation of progressive GANs do; a discriminator that has them must
    see real, generated and negative images apart, or the score of a real image would depend on how many negatives stand
    beside it.
    """
    batch_norm = (nn.modules.batchnorm._BatchNorm, nn.SyncBatchNorm)
    return [
        name
        for name, module in discriminator.named_modules()
        if isinstance(module, batch_norm) or "minibatchstd" in type(module).__name__.lower()
    ]


class NegativeDiscriminatorMixin:
    r"""Adds negatives to the discriminator step of an mmagic GAN.

    Source: Sinha et al., "Negative Data Augmentation", ICLR 2021, arXiv 2102.05113. The discriminator learns to tell
    real images from the mixture :math:`\lambda\,G + (1-\lambda)\,\bar P` of generated images and negatives. With the
    hinge loss

    .. math:: L_D = E\,[1 - D(x)]_+ + \lambda\,E\,[1 + D(G(z))]_+ + (1-\lambda)\,E\,[1 + D(T(x))]_+

    and the generator's loss stays :math:`-E\,D(G(z))`, unscaled.

    Put it before the host's class and pass the images of the host's discriminator step to :meth:`discriminator_terms`;
    :class:`nda_mm.models.gan.NDABigGAN` shows how. Its own arguments, all keyword-only:

    Args:
        negative (dict | Negative | None): What makes the negative of a real image, for example
            ``dict(type='Jigsaw', grid=2)``. One negative is made per real image, from the same mini-batch, with the
            label of its source. ``None`` trains the host's plain GAN. Defaults to None.
        fake_weight (float | list | dict): :math:`\lambda`, the weight of the generated images, in (0, 1]; negatives
            weigh the rest. A schedule over **generator steps** is given as ``[(0, 1.0), (2000, 0.25)]`` (see
            :func:`nda_mm.schedules.as_schedule`). While it is 1, negatives are neither made nor scored. Defaults to
            0.25.
        adversarial_loss (str): A kind of :func:`nda_mm.losses.discriminator_loss`. Defaults to ``'hinge'``.
        discriminator_forward (str): ``'joint'`` scores real, generated and negative images in one forward pass, so that
            spectral normalisation iterates once a step and the pass is as large as the device likes. ``'separate'``
            scores them one after the other, as mmagic does; without negatives that step is mmagic's own, bit for bit.
            ``'auto'`` is joint, and separate where the discriminator mixes the samples of a batch. Defaults to
            ``'auto'``.

    Raises:
        ValueError: If ``fake_weight`` leaves (0, 1], a name is unknown, the negative cannot serve the discriminator's
            resolution, or ``'joint'`` is asked of a discriminator that mixes samples.
    """

    discriminator: nn.Module
    negative: Negative | None

    def __init__(
        self,
        *args: Any,
        negative: dict | Negative | None = None,
        fake_weight: float | Sequence | dict = 0.25,
        adversarial_loss: str = "hinge",
        discriminator_forward: str = "auto",
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.fake_weight = as_schedule(fake_weight)
        for value in self.fake_weight.values:
            check_fake_weight(value)
        self.adversarial_loss = check_kind(adversarial_loss)
        self.discriminator_forward = self._choose_forward(discriminator_forward)
        self.negative = None if negative is None else build_negative(negative)
        resolution = getattr(self.discriminator, "input_scale", None)
        if self.negative is not None and resolution is not None:
            self.negative.check_size(resolution, resolution)

    def _choose_forward(self, mode: str) -> str:
        if mode not in FORWARD_MODES:
            raise ValueError(f"discriminator_forward must be one of {FORWARD_MODES}, but came as {mode!r}.")
        mixing = mixes_samples(self.discriminator)
        if mode == "joint" and mixing:
            raise ValueError(
                "discriminator_forward='joint' would let negatives change the scores of real images, because the "
                f"discriminator mixes the samples of a batch in {mixing[:3]}. Use 'separate' or 'auto'."
            )
        if mode == "auto":
            return "separate" if mixing else "joint"
        return mode

    def begin_step(self, updates_per_generator_step: int) -> float:
        """Move the schedules to the present generator step and return ``fake_weight`` there.

        Args:
            updates_per_generator_step (int): Iterations of the runner to one step of the generator: discriminator steps
                times the accumulated gradients of each.
        """
        iteration = int(MessageHub.get_current_instance().get_info("iter", 0) or 0)
        generator_step = iteration // updates_per_generator_step
        if self.negative is not None:
            self.negative.set_iteration(generator_step)
        return self.fake_weight(generator_step)

    def scores(self, groups: Sequence[Labelled]) -> list[Tensor]:
        """Logits of each group of images, by one discriminator pass or by one for each group."""
        if self.discriminator_forward == "separate":
            return [self._score(images, label) for images, label in groups]
        images = torch.cat([images for images, _ in groups])
        labels = [label for _, label in groups if label is not None]
        logits = self._score(images, torch.cat(labels) if labels else None)
        return list(logits.split([len(images) for images, _ in groups]))

    def _score(self, images: Tensor, label: Tensor | None) -> Tensor:
        return self.discriminator(images) if label is None else self.discriminator(images, label=label)

    def discriminator_terms(self, real: Labelled, fake: Labelled, fake_weight: float) -> dict[str, Tensor]:
        """The weighted loss terms of a discriminator step, and the mean logit of each kind of image.

        Args:
            real (tuple): Real images (B, C, H, W) and their labels (B,) or None.
            fake (tuple): Generated images and their labels, likewise.
            fake_weight (float): Weight of the generated images, in (0, 1].

        Returns:
            dict[str, Tensor]: ``loss_disc_real``, ``loss_disc_fake`` and, with negatives, ``loss_disc_negative``, which
            add up to the loss; ``logit_real``, ``logit_fake``, ``logit_negative`` for the log.
        """
        # Generated before real, as mmagic does it: spectral normalisation iterates at every pass, so order counts.
        groups = {"fake": fake, "real": real}
        if self.negative is not None and fake_weight < 1.0:
            with torch.no_grad():
                groups["negative"] = (self.negative(real[0]), real[1])
        logits = dict(zip(groups, self.scores(list(groups.values())), strict=True))
        terms = discriminator_loss(
            logits["real"],
            logits["fake"],
            logits.get("negative"),
            kind=self.adversarial_loss,
            fake_weight=fake_weight if "negative" in groups else 1.0,
        )
        return terms | {f"logit_{name}": value.detach().float().mean() for name, value in logits.items()}
