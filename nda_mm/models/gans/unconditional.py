"""mmagic's GANs without classes, of one resolution and growing, with negatives. Versions: mmagic 1.2.

A family names its loss and its penalties; the step is that of :class:`~nda_mm.models.gans.mixin.NDAMixin`, whose
arguments all of them take in addition to those of mmagic's class.
"""

from __future__ import annotations

from typing import Any

import torch
from mmagic.models.editors import DCGAN, GGAN, LSGAN, WGANGP, ProgressiveGrowingGAN, StyleGAN1
from mmagic.models.losses import gradient_penalty_loss, r1_gradient_penalty_loss
from torch import Tensor

from nda_mm.functional.checks import check_choice
from nda_mm.models.gans.mixin import Labeled, NDAMixin
from nda_mm.registry import MODELS

__all__ = ["NDADCGAN", "NDAGGAN", "NDALSGAN", "NDAPGGAN", "NDAWGANGP", "GradientPenaltyMixin", "NDAStyleGAN1"]

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
        self.penalty_towards = check_choice(penalty_towards, "penalty_towards", TOWARDS)

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
        penalty_towards: See :class:`GradientPenaltyMixin`.

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


class GrowingMixin(NDAMixin):
    """The present scale as an argument of both networks, and counters that a checkpoint keeps.

    mmagic keeps the number of images shown and the scale in buffers, but not the images at which each stage began, from
    which its fading-in counts. They are a further buffer here, so that a resumed run fades in where it was.
    """

    own_loss = "wasserstein"
    takes_other_losses = False

    def image_sizes(self) -> list[tuple[int, int]]:
        """Every scale that it will be trained at."""
        return list(self.scales)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        counters = torch.zeros(1 + len(self.scales), dtype=torch.float64)
        self.register_buffer("stage_counters", counters)

    def train_step(self, data: dict, optim_wrapper: Any) -> dict[str, Tensor]:
        """mmagic's step; its counters are copied to the buffer."""
        log_vars = super().train_step(data, optim_wrapper)  # type: ignore[misc]
        counters = [float(self.prev_stage), *self._actual_nkimgs]
        self.stage_counters[: len(counters)] = torch.tensor(counters, dtype=torch.float64)
        return log_vars

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)  # type: ignore[misc]
        if f"{prefix}stage_counters" in state_dict:
            stage, *starts = state_dict[f"{prefix}stage_counters"].tolist()
            self.prev_stage, self._actual_nkimgs = int(stage), starts[: int(stage)]

    def real_batch(self, inputs: Any, data_samples: Any) -> Labeled:
        """The real images at the present scale."""
        return inputs, None

    def generator_kwargs(self) -> dict[str, Any]:
        """The present scale, which the discriminator needs too."""
        return dict(curr_scale=self.curr_scale[0], transition_weight=self._curr_transition_weight)

    def score(self, images: Tensor, label: Tensor | None = None) -> Tensor:
        """Logits of images at the present scale."""
        return self.discriminator(images, **self.generator_kwargs())


@MODELS.register_module()
class NDAPGGAN(GradientPenaltyMixin, GrowingMixin, ProgressiveGrowingGAN):
    """Progressive GAN (Karras et al., 2018, https://arxiv.org/abs/1710.10196) with negatives.

    Args:
        penalty_towards: See :class:`GradientPenaltyMixin`.

    Example:
        In a config of mmagic::

            model = dict(type='nda_mm.NDAPGGAN', negative=dict(type='Jigsaw', grid=2), fake_weight=0.25)
    """

    def penalties(self, images: dict[str, Labeled], logits: dict[str, Tensor], fake_weight: float) -> dict[str, Tensor]:
        """The gradient penalty and the term that keeps logits near zero, weighted as in mmagic."""
        opposite = self.opposite(images, fake_weight)
        penalty = gradient_penalty_loss(self.score, images["real"][0], opposite, norm_mode="HWC")  # type: ignore[arg-type]
        drift = 0.001 * 0.5 * (logits["fake"] ** 2 + logits["real"] ** 2)
        return {"loss_gp": 10 * penalty, "loss_disc_shift": drift}


@MODELS.register_module()
class NDAStyleGAN1(GrowingMixin, StyleGAN1):
    """StyleGAN (Karras et al., 2019, https://arxiv.org/abs/1812.04948) with negatives.

    Example:
        In a config of mmagic::

            model = dict(type='nda_mm.NDAStyleGAN1', negative=dict(type='Jigsaw', grid=2), fake_weight=0.25)
    """

    own_loss = "logistic"

    def penalties(self, images: dict[str, Labeled], logits: dict[str, Tensor], fake_weight: float) -> dict[str, Tensor]:
        """R1 on real images, weighted as in mmagic."""
        penalty = r1_gradient_penalty_loss(self.score, images["real"][0], norm_mode="HWC")  # type: ignore[arg-type]
        return {"loss_r1_gp": 10 * penalty}
