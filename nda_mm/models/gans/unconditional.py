"""mmagic's GANs without classes, of one resolution, with negatives. Versions: mmagic 1.2.

A family names its loss and its penalties; the step is that of :class:`~nda_mm.models.gans.mixin.NDAMixin`, whose
arguments all of them take in addition to those of mmagic's class.
"""

from __future__ import annotations

from typing import Any

import torch
from mmagic.models.editors import DCGAN, GGAN, LSGAN, WGANGP
from mmagic.models.losses import gradient_penalty_loss
from torch import Tensor

from nda_mm.models.gans.mixin import Labeled, NDAMixin
from nda_mm.registry import MODELS

__all__ = ["NDADCGAN", "NDAGGAN", "NDALSGAN", "NDAWGANGP", "GradientPenaltyMixin"]

TOWARDS = ("generated", "mixture")


class GradientPenaltyMixin:
    """The gradient penalty of Wasserstein GANs, on lines from real images to generated ones or negatives.

    Source: Gulrajani et al., "Improved Training of Wasserstein GANs", 2017, https://arxiv.org/abs/1704.00028. The
    critic estimates the distance from the data to the mixture of generated images and negatives, so by default the
    penalty is taken between those two. The paper on negatives does not say which it took.

    Args:
        penalty_towards (str): ``'mixture'``: each line ends in the generated image with probability ``fake_weight``, in
            the negative of its real image otherwise. ``'generated'``: always in the generated one, as without
            negatives. Defaults to ``'mixture'``.

    Raises:
        ValueError: If the name is unknown.
    """

    def __init__(self, *args: Any, penalty_towards: str = "mixture", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if penalty_towards not in TOWARDS:
            raise ValueError(f"penalty_towards must be one of {', '.join(TOWARDS)}, but got {penalty_towards!r}.")
        self.penalty_towards = penalty_towards

    def opposite(self, images: dict[str, Labeled], fake_weight: float) -> Tensor:
        """The other end of each line: one image for each real one.

        Args:
            images: ``fake`` and, where there are any, ``negative``.
            fake_weight: Weight of the generated images in this step.

        Shape:
            - Output: (B, C, H, W)
        """
        generated = images["fake"][0]
        if "negative" not in images or self.penalty_towards == "generated":
            return generated
        negative = images["negative"][0]
        chosen = torch.rand(len(generated), 1, 1, 1, device=generated.device) < fake_weight
        return torch.where(chosen, generated, negative)


@MODELS.register_module()
class NDADCGAN(NDAMixin, DCGAN):
    """DCGAN (Radford et al., 2016, https://arxiv.org/abs/1511.06434) with negatives: logistic loss.

    Its discriminator mixes the samples of a batch by batch normalization, so real, generated and negative images are
    scored apart.

    Example:
        In a config::

            model = dict(type='nda_mm.NDADCGAN', negative=dict(type='Jigsaw', grid=2), fake_weight=0.25)
    """

    own_loss = "vanilla"


@MODELS.register_module()
class NDALSGAN(NDAMixin, LSGAN):
    """LSGAN (Mao et al., 2017, https://arxiv.org/abs/1611.04076) with negatives: least squares.

    Example:
        In a config of mmagic::

            model = dict(type='nda_mm.NDALSGAN', negative=dict(type='Jigsaw', grid=2), fake_weight=0.25)
    """

    own_loss = "least_squares"


@MODELS.register_module()
class NDAGGAN(NDAMixin, GGAN):
    """Geometric GAN (Lim and Ye, 2017, https://arxiv.org/abs/1705.02894) with negatives: hinge loss.

    Example:
        In a config of mmagic::

            model = dict(type='nda_mm.NDAGGAN', negative=dict(type='Jigsaw', grid=2), fake_weight=0.25)
    """


@MODELS.register_module()
class NDAWGANGP(GradientPenaltyMixin, NDAMixin, WGANGP):
    """WGAN-GP (Gulrajani et al., 2017, https://arxiv.org/abs/1704.00028) with negatives.

    Args:
        penalty_towards: See :class:`~nda_mm.models.gans.unconditional.GradientPenaltyMixin`.

    Example:
        In a config of mmagic::

            model = dict(type='nda_mm.NDAWGANGP', negative=dict(type='Jigsaw', grid=2), fake_weight=0.25)
    """

    own_loss = "wasserstein"
    takes_other_losses = False

    def penalties(self, images: dict[str, Labeled], logits: dict[str, Tensor], fake_weight: float) -> dict[str, Tensor]:
        """The gradient penalty."""
        penalty = gradient_penalty_loss(
            self.discriminator, images["real"][0], self.opposite(images, fake_weight), norm_mode=self.gp_norm_mode
        )
        return {"loss_gp": self.gp_loss_weight * penalty}
