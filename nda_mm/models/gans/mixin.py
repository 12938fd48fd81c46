"""The discriminator step with negatives, as a mixin in front of mmagic's GAN classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from mmengine import MessageHub
from mmengine.optim import OptimWrapper
from torch import Tensor, nn

from nda_mm.losses import check_fake_weight, check_kind, discriminator_loss, generator_loss
from nda_mm.models.gans.networks import (
    augment_discriminator,
    build_augment,
    choose_forward,
    compile_network,
    draw_uniform_biases,
    share_normalized_weights,
    warn_of_sigma_without_gradient,
)
from nda_mm.models.gans.sampling import own_spectral_norm
from nda_mm.negatives import Negative, build_negative
from nda_mm.utils.schedules import as_schedule

#: Images and their class labels, or None for models without classes.
Labeled = tuple[Tensor, "Tensor | None"]


class NDAMixin:
    r"""Adds negatives to the discriminator step of an mmagic GAN.

    Source: Sinha et al., "Negative Data Augmentation", ICLR 2021, arXiv 2102.05113. The discriminator learns to tell
    real images from the mixture :math:`\lambda\,G + (1-\lambda)\,\bar P` of generated images and negatives. With the
    hinge loss, it minimizes

    .. math:: L_D = E\,[1 - D(x)]_+ + \lambda\,E\,[1 + D(G(z))]_+ + (1-\lambda)\,E\,[1 + D(T(x))]_+

    The generator's loss stays :math:`-E\,D(G(z))`, unscaled.

    Put the mixin before the base class: ``class NDADCGAN(NDAMixin, DCGAN)``. A GAN family overrides
    :meth:`real_batch`, :meth:`generated_batch`, :meth:`generator_kwargs`, :meth:`score` and :meth:`penalties` where it
    differs. All arguments of the mixin are keyword-only.

    Args:
        negative: Negative that is applied to the real images, for example
            ``dict(type='Jigsaw', grid=2)``. Each real image of the batch gives one negative, which keeps the label of
            that image. ``None`` trains the plain GAN. Defaults to None.
        fake_weight: :math:`\lambda`, the weight of the generated images, in (0, 1]; negatives
            get the rest. A list such as ``[(0, 1.0), (2000, 0.25)]`` is a schedule over **generator steps** (see
            :func:`nda_mm.utils.schedules.as_schedule`). While the weight is 1, negatives are neither made nor scored.
            Defaults to 0.25.
        augment: Augmentation of every image that the discriminator is trained on:
            ``dict(type='DiffAugment')`` or ``dict(type='ADA', aug_pipeline=...)``. Negatives are made from the real
            images first; real, generated and negative images are then augmented alike. Do not combine an augmentation
            with a negative of the same kind, such as cutout with ``Cutout``: the negatives would then be valid images.
            Defaults to None.
        adversarial_loss: Kind of :func:`nda_mm.losses.discriminator_loss`. If the penalties of the base class
            depend on its loss, no other kind is accepted. Defaults to None, the loss of the base class.
        discriminator_forward: ``'joint'`` scores real, generated and negative images in one forward pass, so
            spectral normalization iterates once per step. ``'separate'`` scores them one after the other, as mmagic
            does; without negatives, that step equals mmagic's bit for bit. ``'auto'`` means ``'separate'`` for a
            discriminator that mixes the samples of a batch, and ``'joint'`` otherwise. Defaults to ``'auto'``.
        uniform_biases: Whether to initialize the biases of convolutions and linear layers with PyTorch's default
            instead of zeros. Networks with a ``Pretrained`` ``init_cfg`` are left unchanged. Defaults to False.
        compile_networks: Whether to run both networks through ``torch.compile``. A dict holds its
            arguments, such as ``dict(mode='reduce-overhead')``. The first steps then take minutes. Defaults to False.

    Raises:
        ValueError: If ``fake_weight`` is outside (0, 1], a name is unknown, the negative does not fit the
            discriminator's resolution, ``'joint'`` is requested for a discriminator that mixes samples, or
            ``adversarial_loss`` is not accepted.
    """

    #: Loss of the base class, a kind of :func:`nda_mm.losses.discriminator_loss`, and whether other kinds are accepted.
    own_loss: ClassVar[str] = "hinge"
    takes_other_losses: ClassVar[bool] = True

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Attributes of the base class, such as ``discriminator``, which is None in a model that only generates."""

    def __init__(
        self,
        *args: Any,
        negative: dict | Negative | None = None,
        fake_weight: float | Sequence | dict = 0.25,
        adversarial_loss: str | None = None,
        discriminator_forward: str = "auto",
        augment: dict | nn.Module | None = None,
        uniform_biases: bool = False,
        compile_networks: bool | dict = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        # The negatives and their weight.
        self.fake_weight = as_schedule(fake_weight, "fake_weight", check_fake_weight)
        self.negative: Any = None if negative is None else build_negative(negative)
        if self.negative is not None:
            for height, width in self.image_sizes():
                self.negative.check_size(height, width)
        # The loss, and the discriminator's forward mode.
        self.adversarial_loss = self.own_loss if adversarial_loss is None else check_kind(adversarial_loss)
        if self.adversarial_loss != self.own_loss and not self.takes_other_losses:
            raise ValueError(
                f"adversarial_loss must be {self.own_loss!r}, because the penalties of {type(self).__name__} depend on "
                f"it, but got {adversarial_loss!r}."
            )
        self.discriminator_forward = choose_forward(discriminator_forward, self.discriminator)
        # Changes to the networks: augmentation, biases, compilation.
        self.augment: Any = build_augment(augment)
        if self.augment is not None and self.discriminator is not None:
            augment_discriminator(self.discriminator, self.augment)
        self.uniform_biases = uniform_biases
        for network in filter(None, (self.generator, self.discriminator)):
            warn_of_sigma_without_gradient(network)
            if compile_networks:
                compile_network(network, **({} if compile_networks is True else compile_networks))

    def init_weights(self) -> None:
        """Initialize the networks. The same seed gives the same weights on every device."""
        share_normalized_weights(self)  # type: ignore[arg-type]
        super().init_weights()  # type: ignore[misc]
        if self.uniform_biases:
            for network in filter(None, (self.generator, self.discriminator)):
                draw_uniform_biases(network)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run the forward pass of the base class. The EMA uses the spectral norm of its own weights."""
        averaged = getattr(self, "with_ema_gen", False)
        with own_spectral_norm(self.generator_ema.module) if averaged else nullcontext():
            return super().forward(*args, **kwargs)  # type: ignore[misc]

    def train_step(self, data: Any, optim_wrapper: Any) -> dict[str, Tensor]:
        """Run the training step of the base class, which calls :meth:`train_discriminator`.

        Raises:
            ValueError: If the model has no discriminator.
        """
        self.require_discriminator()
        return super().train_step(data, optim_wrapper)  # type: ignore[misc]

    def train_discriminator(self, inputs: Any, data_samples: Any, optimizer_wrapper: OptimWrapper) -> dict[str, Tensor]:
        """Update the discriminator on real, generated and negative images.

        Args:
            inputs: Inputs from the data preprocessor.
            data_samples: Stacked sample from the data preprocessor, with the real images (B, C, H, W) and,
                for some models, their labels.
            optimizer_wrapper: Optimizer wrapper of the discriminator.

        Returns:
            Values to log: the weighted terms ``loss_disc_real``, ``loss_disc_fake`` and, with
            negatives, ``loss_disc_negative``; any penalties; the sum ``loss``; the mean logit of each kind of image;
            and ``fake_weight``.

        Raises:
            ValueError: If the real images differ in size from the generated ones.
        """
        real, label = self.real_batch(inputs, data_samples)
        self.check_size(real)

        # Weight of the generated images in this step.
        fake_weight = self.begin_step(self.discriminator_steps * optimizer_wrapper._accumulative_counts)

        # The update. If nothing would be added, it is left to the base class.
        if self.uses_base_step(fake_weight):
            log_vars = super().train_discriminator(inputs, data_samples, optimizer_wrapper)  # type: ignore[misc]
        else:
            log_vars = self.update_discriminator(real, label, fake_weight, optimizer_wrapper)
        return self.log_weight(log_vars, fake_weight)

    def update_discriminator(
        self, real: Tensor, label: Tensor | None, fake_weight: float | Tensor, optimizer_wrapper: OptimWrapper
    ) -> dict[str, Tensor]:
        """Run the part of :meth:`train_discriminator` that happens on the device.

        A ``fake_weight`` given as a tensor must be below 1; its value is not read on the host.
        """
        # Generated before real, as in mmagic: spectral normalization iterates in every pass, so the order matters.
        images: dict[str, Labeled] = {"fake": self.generated_batch(len(real)), "real": (real, label)}
        if isinstance(fake_weight, Tensor) or fake_weight < 1.0:
            images["negative"] = self.make_negatives(real), label

        # Logits, the weighted terms of the loss, and the family's penalties.
        logits = self.scores(images)
        terms = self.adversarial_terms(logits, fake_weight)
        terms |= self.penalties(images, logits, fake_weight)
        if self.observes_logits:
            terms |= self.augment.observe(logits["real"], _iteration())

        # The update.
        loss, log_vars = self.parse_losses(terms)
        optimizer_wrapper.update_params(loss)
        return log_vars

    def gen_loss(self, disc_pred_fake: Tensor, *args: Any) -> tuple[Tensor, dict]:
        """Return the generator's loss, which negatives do not change."""
        if self.adversarial_loss == self.own_loss:
            return super().gen_loss(disc_pred_fake, *args)  # type: ignore[misc]
        loss = generator_loss(disc_pred_fake, kind=self.adversarial_loss)
        return self.parse_losses({"loss_gen": loss})

    # The parts of a step, in the order in which they run.

    def require_discriminator(self) -> None:
        """Raise ValueError if the model has no discriminator."""
        if self.discriminator is None:
            raise ValueError(f"{type(self).__name__} has discriminator=None: it can generate, but not be trained.")

    def real_batch(self, inputs: Any, data_samples: Any) -> Labeled:
        """Return the real images of a step and their labels."""
        return data_samples.gt_img, None

    def image_sizes(self) -> list[tuple[int, int]]:
        """Return the heights and widths that the discriminator will see; empty if the networks do not define any."""
        generator = getattr(self.generator, "module", self.generator)  # wrapped in distributed training
        sides = [getattr(generator, name, None) for name in ("out_size", "output_scale", "out_scale")]
        sides.append(getattr(self.discriminator, "input_scale", None))
        return [(int(side), int(side)) for side in sides if side][:1]

    def check_size(self, real: Tensor) -> None:
        """Raise ValueError if the real images differ in size from the generated ones."""
        sizes = self.image_sizes()
        if sizes and tuple(real.shape[-2:]) not in sizes:
            made = " or ".join(f"{height}x{width}" for height, width in sizes)
            raise ValueError(
                f"The images are {real.shape[-2]}x{real.shape[-1]}, but the generator makes {made}. Resize them in the "
                "data pipeline, or set output_scale of the generator and input_scale of the discriminator."
            )

    def begin_step(self, updates_per_generator_step: int) -> float:
        """Advance the schedules to the current generator step and return ``fake_weight``, which is 1 without negatives.

        Args:
            updates_per_generator_step: Runner iterations per generator step: the discriminator's steps times
                their gradient accumulation.
        """
        if self.negative is None:
            return 1.0
        generator_step = _iteration() // updates_per_generator_step
        self.negative.set_iteration(generator_step)
        return self.fake_weight(generator_step)

    def uses_base_step(self, fake_weight: float) -> bool:
        """Whether nothing is added to the step of the base class, so that it is used unchanged."""
        return (
            fake_weight == 1.0
            and self.discriminator_forward == "separate"
            and self.adversarial_loss == self.own_loss
            and not self.observes_logits
        )

    @property
    def observes_logits(self) -> bool:
        """Whether the augmentation follows the logits of real images, as ADA does."""
        return hasattr(self.augment, "observe")

    def generated_batch(self, count: int) -> Labeled:
        """Return generated images for the discriminator, without gradient, and their labels."""
        noise = self.noise_fn(num_batches=count)
        with torch.no_grad():
            return self.generator(noise, return_noise=False, **self.generator_kwargs()), None

    def generator_kwargs(self) -> dict[str, Any]:
        """Return additional arguments of the generator in this step."""
        return {}

    @torch.no_grad()
    def make_negatives(self, real: Tensor) -> Tensor:
        """Return one negative of each real image, with the shape (B, C, H, W) of ``real``."""
        return self.negative(real)

    def scores(self, images: Mapping[str, Labeled]) -> dict[str, Tensor]:
        """Return the logits of each kind of image, from one discriminator pass or from one pass per kind."""
        if self.discriminator_forward == "separate":
            return {name: self.score(*batch) for name, batch in images.items()}
        batches, labels = zip(*images.values(), strict=True)
        logits = self.score(torch.cat(batches), None if labels[0] is None else torch.cat(labels))
        return dict(zip(images, logits.split([len(batch) for batch in batches]), strict=True))

    def score(self, images: Tensor, label: Tensor | None = None) -> Tensor:
        """Return the logits of images, from one discriminator pass."""
        return self.discriminator(images) if label is None else self.discriminator(images, label=label)

    def adversarial_terms(self, logits: dict[str, Tensor], fake_weight: float | Tensor) -> dict[str, Tensor]:
        """Return the weighted loss terms, and the mean logit of each kind of image for the log.

        Args:
            logits: Logits of the ``real``, ``fake`` and, if there are any, ``negative`` images.
            fake_weight: Weight of the generated images, in (0, 1]; 1 without negatives.
        """
        terms = discriminator_loss(**logits, kind=self.adversarial_loss, fake_weight=fake_weight)
        return terms | {f"logit_{name}": value.detach().float().mean() for name, value in logits.items()}

    def penalties(self, images: dict[str, Labeled], logits: dict[str, Tensor], fake_weight: Any) -> dict[str, Tensor]:
        """Return additional terms of the discriminator's loss; empty unless a family overrides it.

        Args:
            images: The ``fake``, ``real`` and, if there are any, ``negative`` images, with their labels.
            logits: Logits of these images.
            fake_weight: Weight of the generated images in this step.
        """
        return {}

    def log_weight(self, log_vars: dict[str, Tensor], fake_weight: float) -> dict[str, Tensor]:
        """Add ``fake_weight`` to the logged values if the model has negatives."""
        return log_vars if self.negative is None else log_vars | {"fake_weight": torch.tensor(fake_weight)}


def _iteration() -> int:
    return int(MessageHub.get_current_instance().get_info("iter", 0) or 0)
