"""What every GAN with negatives shares: making them, scoring them beside the other images, weighing the terms."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import nullcontext
from functools import cache
from typing import Any, ClassVar

import torch
from mmengine import MessageHub
from mmengine.logging import print_log
from mmengine.optim import OptimWrapper
from mmengine.registry import DefaultScope
from torch import Tensor, nn
from torch.nn.utils.spectral_norm import SpectralNorm

from nda_mm.generation import own_spectral_norm
from nda_mm.losses import check_fake_weight, check_kind, discriminator_loss, generator_loss
from nda_mm.models.augment import Observing, augment_discriminator
from nda_mm.models.compiled_networks import compile_network
from nda_mm.negatives import Negative, build_negative
from nda_mm.registry import MODELS, SCOPE
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
        if isinstance(module, batch_norm) or "stddev" in type(module).__name__.lower()
    ]


def share_normalised_weights(module: nn.Module) -> None:
    """Let what is written to ``weight`` of a spectrally normalised layer reach its parameter, ``weight_orig``.

    :func:`torch.nn.utils.spectral_norm` leaves ``weight`` as a plain tensor that shares the parameter's memory, until
    the module is moved: then it stays behind. mmengine moves a model to its device before it draws the weights, so on a
    GPU the initialisation that a recipe names is written into what is thrown away, and mmagic's spectrally normalised
    networks start from PyTorch's default without a word.
    """
    for layer in module.modules():
        for hook in layer._forward_pre_hooks.values():
            if isinstance(hook, SpectralNorm):
                setattr(layer, hook.name, getattr(layer, f"{hook.name}_orig").data)


def draw_uniform_biases(module: nn.Module) -> None:
    """Draw the biases of convolutions and linear layers as PyTorch does: U(-b, b) with b = 1 / sqrt(fan-in).

    A network that loads its weights (``init_cfg=dict(type='Pretrained', ...)``) is left alone.
    """
    if "Pretrained" in str(getattr(module, "init_cfg", None)):
        return
    for layer in module.modules():
        if isinstance(layer, (nn.modules.conv._ConvNd, nn.Linear)) and layer.bias is not None:
            bound = layer.weight[0].numel() ** -0.5
            nn.init.uniform_(layer.bias, -bound, bound)


@cache
def _warn_of_sigma_without_gradient() -> None:
    print_log(
        "sn_style='ajbrock', mmagic's default, gives no gradient through sigma, unlike BigGAN's own code; set "
        "sn_style='torch' in generator and discriminator.",
        "current",
        logging.WARNING,
    )


def _iteration() -> int:
    return int(MessageHub.get_current_instance().get_info("iter", 0) or 0)


def _build_augment(augment: dict | nn.Module | None) -> nn.Module | None:
    if augment is None or isinstance(augment, nn.Module):
        return augment
    if not isinstance(augment, dict) or "type" not in augment:
        raise TypeError(f"augment must be a module or a config with 'type', but came as {augment!r}.")
    with DefaultScope.overwrite_default_scope(SCOPE):
        return MODELS.build(augment)


class NegativeDiscriminatorMixin:
    r"""Adds negatives to the discriminator step of an mmagic GAN.

    Source: Sinha et al., "Negative Data Augmentation", ICLR 2021, arXiv 2102.05113. The discriminator learns to tell
    real images from the mixture :math:`\lambda\,G + (1-\lambda)\,\bar P` of generated images and negatives. With the
    hinge loss

    .. math:: L_D = E\,[1 - D(x)]_+ + \lambda\,E\,[1 + D(G(z))]_+ + (1-\lambda)\,E\,[1 + D(T(x))]_+

    and the generator's loss stays :math:`-E\,D(G(z))`, unscaled.

    Put it before the host's class. The step is taken here, by what a class says of its host: :meth:`real_batch`,
    :meth:`generated_batch`, :meth:`score` and :meth:`penalties`; where nothing is to be added it is the host's own.
    Its own arguments, all keyword-only:

    Args:
        negative (dict | Negative | None): What makes the negative of a real image, for example
            ``dict(type='Jigsaw', grid=2)``. One negative is made per real image, from the same mini-batch, with the
            label of its source. ``None`` trains the host's plain GAN. Defaults to None.
        fake_weight (float | list | dict): :math:`\lambda`, the weight of the generated images, in (0, 1]; negatives
            weigh the rest. A schedule over **generator steps** is given as ``[(0, 1.0), (2000, 0.25)]`` (see
            :func:`nda_mm.schedules.as_schedule`). While it is 1, negatives are neither made nor scored. Defaults to
            0.25.
        augment (dict | nn.Module | None): Positive augmentation of every image that the discriminator is trained on:
            ``dict(type='DiffAugment')`` or ``dict(type='ADA', aug_pipeline=...)``. Negatives are made of the real
            images first, and real, generated and negative ones are augmented alike: what the discriminator compares are
            then the augmented data and the augmented mixture, and as long as the augmentation does not leak (no two
            distributions look alike after it), they agree only where the data and the generated images do. Do not pair
            an augmentation with a negative of its own kind, such as cutout with ``Cutout``: it would make negatives
            valid. Defaults to None.
        adversarial_loss (str): A kind of :func:`nda_mm.losses.discriminator_loss`. Defaults to None, the host's own;
            where penalties belong to that, no other is taken.
        discriminator_forward (str): ``'joint'`` scores real, generated and negative images in one forward pass, so that
            spectral normalisation iterates once a step and the pass is as large as the device likes. ``'separate'``
            scores them one after the other, as mmagic does; without negatives that step is mmagic's own, bit for bit.
            ``'auto'`` is joint, and separate where the discriminator mixes the samples of a batch. Defaults to
            ``'auto'``.
        uniform_biases (bool): Whether the biases of convolutions and linear layers start as PyTorch draws them, where
            mmagic's ``init_cfg`` would zero them. Networks with a ``Pretrained`` one keep what they load. Defaults to
            False.
        channels_last (bool): Whether the networks keep images with the channels as the fastest dimension, as
            ``channels_last=True`` at the top of a recipe does for any model. Defaults to False.
        compile_networks (bool | dict): Whether generator and discriminator run through ``torch.compile``; a dict is its
            arguments, such as ``dict(mode='reduce-overhead')``. The first steps take minutes then; weights keep their
            names, results differ by rounding alone. Defaults to False.

    Raises:
        ValueError: If ``fake_weight`` leaves (0, 1], a name is unknown, the negative cannot serve the discriminator's
            resolution, ``'joint'`` is asked of a discriminator that mixes samples, or another loss of a GAN whose
            penalties belong to its own.
    """

    #: The loss of the host's class, a kind of :func:`nda_mm.losses.discriminator_loss`; and whether another will do.
    own_loss: ClassVar[str] = "hinge"
    takes_other_losses: ClassVar[bool] = True

    discriminator: Any  # a network, or None in a model that only generates
    generator: Any
    generator_ema: Any
    uniform_biases: bool = False
    negative: Negative | None
    augment: nn.Module | None
    discriminator_steps: int
    channels_last: bool

    def __init__(
        self,
        *args: Any,
        negative: dict | Negative | None = None,
        fake_weight: float | Sequence | dict = 0.25,
        adversarial_loss: str | None = None,
        discriminator_forward: str = "auto",
        augment: dict | nn.Module | None = None,
        uniform_biases: bool = False,
        channels_last: bool = False,
        compile_networks: bool | dict = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.augment = _build_augment(augment)  # type: ignore[misc]
        networks = [network for network in (self.generator, self.discriminator) if network is not None]
        if self.augment is not None and self.discriminator is not None:
            augment_discriminator(self.discriminator, self.augment)
        if isinstance(fake_weight, (int, float)):  # a schedule's words are of milestones
            check_fake_weight(fake_weight)
        try:
            self.fake_weight = as_schedule(fake_weight)
        except (TypeError, ValueError) as error:
            raise type(error)(f"fake_weight: {error}") from None
        for value in self.fake_weight.values:
            check_fake_weight(value)
        self.adversarial_loss = self.own_loss if adversarial_loss is None else check_kind(adversarial_loss)
        if self.adversarial_loss != self.own_loss and not self.takes_other_losses:
            raise ValueError(
                f"adversarial_loss={adversarial_loss!r}: the penalties of {type(self).__name__} belong to its own "
                f"loss, {self.own_loss!r}; leave the argument out."
            )
        self.discriminator_forward = self._choose_forward(discriminator_forward)
        self.negative = None if negative is None else build_negative(negative)
        if self.negative is not None:
            for height, width in self.image_sizes():
                self.negative.check_size(height, width)
        if any(hasattr(layer, "sn_weight") for network in networks for layer in network.modules()):
            _warn_of_sigma_without_gradient()
        self.uniform_biases = uniform_biases
        self.channels_last = channels_last
        if channels_last:
            self.to(memory_format=torch.channels_last)  # type: ignore[attr-defined]
        if compile_networks:
            for network in networks:
                compile_network(network, **({} if compile_networks is True else compile_networks))

    def init_weights(self) -> None:
        """Draw the networks' weights: from one seed the same ones, on any device and in any order of memory."""
        if self.channels_last:  # random numbers are filled in as memory runs
            self.to(memory_format=torch.contiguous_format)  # type: ignore[attr-defined]
        share_normalised_weights(self)  # type: ignore[arg-type]
        super().init_weights()  # type: ignore[misc]
        for network in (self.generator, self.discriminator) if self.uniform_biases else ():
            if network is not None:
                draw_uniform_biases(network)
        if self.channels_last:
            self.to(memory_format=torch.channels_last)  # type: ignore[attr-defined]

    def image_sizes(self) -> list[tuple[int, int]]:
        """Heights and widths of the images that the discriminator will see, as far as the networks say."""
        generator = getattr(self.generator, "module", self.generator)  # wrapped in distributed training
        said = [getattr(generator, name, None) for name in ("out_size", "output_scale", "out_scale")]
        said.append(getattr(self.discriminator, "input_scale", None))
        return [(int(side), int(side)) for side in said if side][:1]

    def check_size(self, real: Tensor) -> None:
        """Refuse real images that are not of the size of the generated ones."""
        sizes = self.image_sizes()
        if sizes and tuple(real.shape[-2:]) not in sizes:
            made = " or ".join(f"{height}x{width}" for height, width in sizes)
            raise ValueError(
                f"The images are {real.shape[-2]}x{real.shape[-1]}, but the generator makes {made}: resize them in the "
                "data's pipeline (or by the data set's size), or set the size of generator and discriminator "
                "(output_scale and input_scale, for example)."
            )

    def _choose_forward(self, mode: str) -> str:
        if mode not in FORWARD_MODES:
            raise ValueError(f"discriminator_forward must be one of {FORWARD_MODES}, but came as {mode!r}.")
        mixing = [] if self.discriminator is None else mixes_samples(self.discriminator)
        if mode == "joint" and mixing:
            raise ValueError(
                "discriminator_forward='joint' would let negatives change the scores of real images, because the "
                f"discriminator mixes the samples of a batch in {mixing[:3]}. Use 'separate' or 'auto'."
            )
        if mode == "auto":
            return "separate" if mixing else "joint"
        return mode

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The host's, with the EMA divided by the sigma of its own weights."""
        averaged = getattr(self, "with_ema_gen", False)
        with own_spectral_norm(self.generator_ema.module) if averaged else nullcontext():
            return super().forward(*args, **kwargs)  # type: ignore[misc]

    def train_step(self, data: Any, optim_wrapper: Any) -> dict[str, Tensor]:
        """The host's step.

        Raises:
            ValueError: If the model has no discriminator.
        """
        self.require_discriminator()
        return super().train_step(data, optim_wrapper)  # type: ignore[misc]

    def require_discriminator(self) -> None:
        """Refuse to train a model that only generates."""
        if self.discriminator is None:
            raise ValueError(f"{type(self).__name__} has discriminator=None, so it generates but can't be trained.")

    def train_discriminator(self, inputs: Any, data_samples: Any, optimizer_wrapper: OptimWrapper) -> dict[str, Tensor]:
        """One step of the discriminator on real, generated and negative images.

        Raises:
            ValueError: If the real images are of another size than the generated ones.
        """
        real = self.real_batch(inputs, data_samples)
        self.check_size(real[0])
        fake_weight = self.begin_step(self.discriminator_steps * optimizer_wrapper._accumulative_counts)
        if self.is_hosts_step(fake_weight):
            log_vars = super().train_discriminator(inputs, data_samples, optimizer_wrapper)  # type: ignore[misc]
        else:
            fake = self.generated_batch(len(real[0]))
            terms = self.discriminator_terms(real, fake, fake_weight)
            loss, log_vars = self.parse_losses(terms)  # type: ignore[attr-defined]
            optimizer_wrapper.update_params(loss)
        if self.negative is not None:
            log_vars["fake_weight"] = torch.tensor(fake_weight)
        return log_vars

    def is_hosts_step(self, fake_weight: float) -> bool:
        """Whether nothing is to be added to the host's own step, so that it can be taken as it is."""
        return (
            (self.negative is None or fake_weight == 1.0)
            and self.discriminator_forward == "separate"
            and self.adversarial_loss == self.own_loss
            and not isinstance(self.augment, Observing)
        )

    def gen_loss(self, disc_pred_fake: Tensor, *args: Any) -> tuple[Tensor, dict]:
        """The generator's loss, which negatives leave as it is."""
        if self.adversarial_loss == self.own_loss:
            return super().gen_loss(disc_pred_fake, *args)  # type: ignore[misc]
        loss = generator_loss(disc_pred_fake, kind=self.adversarial_loss)
        return self.parse_losses({"loss_gen": loss})  # type: ignore[attr-defined]

    def real_batch(self, inputs: Any, data_samples: Any) -> Labelled:
        """The real images of a step and their labels."""
        return data_samples.gt_img, None

    def generated_batch(self, count: int) -> Labelled:
        """Generated images for the discriminator, without gradient, and their labels."""
        noise = self.noise_fn(num_batches=count)  # type: ignore[attr-defined]
        with torch.no_grad():
            return self.generator(noise, return_noise=False), None

    def penalties(
        self, images: dict[str, Labelled], logits: dict[str, Tensor], fake_weight: float
    ) -> dict[str, Tensor]:
        """Terms of the discriminator's loss beside the adversarial ones; none unless a host has them.

        Args:
            images (dict): ``fake``, ``real`` and, where there are any, ``negative``.
            logits (dict): Their scores.
            fake_weight (float): Weight of the generated images in this step.
        """
        return {}

    def begin_step(self, updates_per_generator_step: int) -> float:
        """Move the schedules to the present generator step and return ``fake_weight`` there.

        Args:
            updates_per_generator_step (int): Iterations of the runner to one step of the generator: discriminator steps
                times the accumulated gradients of each.
        """
        generator_step = _iteration() // updates_per_generator_step
        if self.negative is not None:
            self.negative.set_iteration(generator_step)
        return self.fake_weight(generator_step)

    def scores(self, groups: Sequence[Labelled]) -> list[Tensor]:
        """Logits of each group of images, by one discriminator pass or by one for each group."""
        if self.discriminator_forward == "separate":
            return [self.score(images, label) for images, label in groups]
        images = torch.cat([images for images, _ in groups])
        labels = [label for _, label in groups if label is not None]
        logits = self.score(images, torch.cat(labels) if labels else None)
        return list(logits.split([len(images) for images, _ in groups]))

    def score(self, images: Tensor, label: Tensor | None = None) -> Tensor:
        """Logits of images, by one discriminator pass."""
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
        groups: dict[str, Labelled] = {"fake": fake, "real": real}
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
        terms |= self.penalties(groups, logits, fake_weight)
        if isinstance(self.augment, Observing):
            terms |= self.augment.observe(logits["real"], _iteration())
        return terms | {f"logit_{name}": value.detach().float().mean() for name, value in logits.items()}
