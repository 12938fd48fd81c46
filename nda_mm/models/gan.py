"""mmagic's GANs of one resolution with negatives: what each host has of its own, on the shared bridge.

Each class names the host's loss and its penalties; the step is the bridge's. All take the host's arguments and those of
:class:`~nda_mm.models.gan_bridge.NegativeDiscriminatorMixin`; in a config of mmagic's, ``--cfg-options
model.type=nda_mm.NDASNGAN model.negative.type=Jigsaw`` is enough. Versions: mmagic 1.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from inspect import signature
from typing import Any

from mmagic.models.editors import DCGAN, GGAN, LSGAN, SAGAN, WGANGP, BigGAN
from mmagic.models.editors.biggan import BigGANDiscriminator
from mmagic.models.losses import gradient_penalty_loss
from torch import Tensor

from nda_mm.models.class_conditional import ClassConditionalMixin
from nda_mm.models.gan_bridge import Labelled, NegativeDiscriminatorMixin
from nda_mm.models.gradient_penalty import GradientPenaltyMixin
from nda_mm.registry import MODELS

__all__ = ["NDADCGAN", "NDAGGAN", "NDALSGAN", "NDASAGAN", "NDASNGAN", "NDAWGANGP", "NDABigGAN"]


@MODELS.register_module()
class NDADCGAN(NegativeDiscriminatorMixin, DCGAN):
    """DCGAN (Radford et al., 2016, https://arxiv.org/abs/1511.06434) with negatives: logistic loss.

    Its discriminator mixes the samples of a batch by batch normalisation, so real, generated and negative images are
    scored apart.

    Example:
        ``model = dict(type='nda_mm.NDADCGAN', negative=dict(type='Jigsaw', grid=2), fake_weight=0.25)``
    """

    own_loss = "vanilla"


@MODELS.register_module()
class NDALSGAN(NegativeDiscriminatorMixin, LSGAN):
    """LSGAN (Mao et al., 2017, https://arxiv.org/abs/1611.04076) with negatives: least squares."""

    own_loss = "least_squares"


@MODELS.register_module()
class NDAGGAN(NegativeDiscriminatorMixin, GGAN):
    """Geometric GAN (Lim and Ye, 2017, https://arxiv.org/abs/1705.02894) with negatives: hinge loss."""


@MODELS.register_module()
class NDAWGANGP(GradientPenaltyMixin, NegativeDiscriminatorMixin, WGANGP):
    """WGAN-GP (Gulrajani et al., 2017, https://arxiv.org/abs/1704.00028) with negatives.

    Args:
        penalty_towards: See :class:`~nda_mm.models.gradient_penalty.GradientPenaltyMixin`.
    """

    own_loss = "wasserstein"
    takes_other_losses = False

    def penalties(
        self, images: dict[str, Labelled], logits: dict[str, Tensor], fake_weight: float
    ) -> dict[str, Tensor]:
        """The gradient penalty."""
        penalty = gradient_penalty_loss(
            self.discriminator, images["real"][0], self.opposite(images, fake_weight), norm_mode=self.gp_norm_mode
        )
        return {"loss_gp": self.gp_loss_weight * penalty}


@MODELS.register_module("NDASNGAN")
@MODELS.register_module()
class NDASAGAN(ClassConditionalMixin, SAGAN):
    """SAGAN (Zhang et al., 2019, https://arxiv.org/abs/1805.08318) with negatives, and SNGAN and the projection GAN.

    mmagic has one class for SAGAN and SNGAN (Miyato et al., 2018, https://arxiv.org/abs/1802.05957), told apart by
    their networks; so has this package: ``nda_mm.NDASAGAN`` and ``nda_mm.NDASNGAN``. With classes or without
    (``num_classes=0``, which mmagic's own step refuses). Without negatives and in ``'separate'`` mode a run is mmagic's
    own bit for bit, but for the labels of real images: mmagic mixes them within a batch, see
    :meth:`~nda_mm.models.class_conditional.ClassConditionalMixin.data_sample_to_label`.
    """


NDASNGAN = NDASAGAN  # as mmagic names it, too


@MODELS.register_module()
class NDABigGAN(ClassConditionalMixin, BigGAN):
    """BigGAN (Brock et al., 2019, https://arxiv.org/abs/1809.11096) with negatives: the paper's network.

    The alternation of the two networks, the accumulation of gradients and the moving average of the generator are
    mmagic's own. Of any size: 32 pixels as the paper trains CIFAR-10, 128 and 256 as mmagic trains ImageNet.

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

    def __init__(self, generator: Any, discriminator: Any = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(generator, complete_layout(discriminator), *args, **kwargs)


def complete_layout(discriminator: Any) -> Any:
    """The config of a BigGAN discriminator of 256 or 512 pixels, with a layout that can be built.

    mmagic 1.2's own layouts of these sizes say of all blocks but the last whether they attend, and fail with an
    ``IndexError``.
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
