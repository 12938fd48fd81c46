"""mmagic's unconditional GANs with negatives (plain, progressive and style-based), and ADA (mmagic 1.2).

Each class defines its loss and its penalties. The step is that of :class:`~nda_mm.models.gans.mixin.NDAMixin`, whose
arguments every class takes in addition to those of mmagic's class.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from mmagic.models.editors import (
    DCGAN,
    GGAN,
    LSGAN,
    WGANGP,
    MSPIEStyleGAN2,
    ProgressiveGrowingGAN,
    StyleGAN1,
    StyleGAN2,
    StyleGAN3,
)
from mmagic.models.editors.stylegan2.stylegan2_discriminator import ADAAug
from mmagic.models.losses import gradient_penalty_loss, r1_gradient_penalty_loss
from mmengine import MessageHub
from mmengine.dist import all_reduce, broadcast, is_distributed
from torch import Tensor

from nda_mm.functional.checks import check_choice
from nda_mm.models.gans.mixin import Labeled, NDAMixin
from nda_mm.registry import MODELS

TOWARDS = ("generated", "mixture")


class GradientPenaltyMixin:
    """Gradient penalty of Wasserstein GANs, on lines from real images to generated images or negatives.

    Source: Gulrajani et al., "Improved Training of Wasserstein GANs", 2017, https://arxiv.org/abs/1704.00028. The
    critic estimates the distance from the data to the mixture of generated images and negatives, so by default the
    penalty is computed between those two. The paper on negatives does not say which choice it made.

    Args:
        penalty_towards: With ``'mixture'``, each line ends at the generated image with probability
            ``fake_weight``, and at the negative of its real image otherwise. With ``'generated'``, it always ends at
            the generated image, as without negatives. Defaults to ``'mixture'``.

    Raises:
        ValueError: If the name is unknown.
    """

    def __init__(self, *args: Any, penalty_towards: str = "mixture", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.penalty_towards = check_choice(penalty_towards, "penalty_towards", TOWARDS)

    def opposite(self, images: dict[str, Labeled], fake_weight: float) -> Tensor:
        """Return the other end of each line, one image for each real image.

        Args:
            images: The ``fake`` and, if there are any, ``negative`` images.
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
    """DCGAN (Radford et al., 2016, https://arxiv.org/abs/1511.06434) with negatives and the logistic loss.

    The discriminator's batch normalization mixes the samples of a batch, so real, generated and negative images are
    scored separately.

    Example:
        In a config::

            model = dict(type='nda_mm.NDADCGAN', negative=dict(type='Jigsaw', grid=2), fake_weight=0.25)
    """

    own_loss = "vanilla"


@MODELS.register_module()
class NDALSGAN(NDAMixin, LSGAN):
    """LSGAN (Mao et al., 2017, https://arxiv.org/abs/1611.04076) with negatives and the least-squares loss.

    Example:
        In a config of mmagic::

            model = dict(type='nda_mm.NDALSGAN', negative=dict(type='Jigsaw', grid=2), fake_weight=0.25)
    """

    own_loss = "least_squares"


@MODELS.register_module()
class NDAGGAN(NDAMixin, GGAN):
    """Geometric GAN (Lim and Ye, 2017, https://arxiv.org/abs/1705.02894) with negatives and the hinge loss.

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
        """Return the gradient penalty."""
        penalty = gradient_penalty_loss(
            self.discriminator, images["real"][0], self.opposite(images, fake_weight), norm_mode=self.gp_norm_mode
        )
        return {"loss_gp": self.gp_loss_weight * penalty}


class GrowingMixin(NDAMixin):
    """Passes the current scale to both networks, and keeps the growing counters in the checkpoint.

    mmagic keeps the number of images shown and the scale in buffers, but not the image counts at which each stage
    began, from which it computes the fade-in. Here an additional buffer holds them, so that a resumed run continues its
    fade-in.
    """

    own_loss = "wasserstein"
    takes_other_losses = False

    def image_sizes(self) -> list[tuple[int, int]]:
        """Return every scale that the model will be trained at."""
        return list(self.scales)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        counters = torch.zeros(1 + len(self.scales), dtype=torch.float64)
        self.register_buffer("stage_counters", counters)

    def train_step(self, data: dict, optim_wrapper: Any) -> dict[str, Tensor]:
        """Run mmagic's step and copy its counters to the buffer."""
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
        """Return the real images at the current scale."""
        return inputs, None

    def generator_kwargs(self) -> dict[str, Any]:
        """Return the current scale, which the discriminator needs too."""
        return dict(curr_scale=self.curr_scale[0], transition_weight=self._curr_transition_weight)

    def score(self, images: Tensor, label: Tensor | None = None) -> Tensor:
        """Return the logits of images at the current scale."""
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
        """Return the gradient penalty and the term that keeps logits near zero, weighted as in mmagic."""
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
        """Return the R1 penalty on real images, weighted as in mmagic."""
        penalty = r1_gradient_penalty_loss(self.score, images["real"][0], norm_mode="HWC")  # type: ignore[arg-type]
        return {"loss_r1_gp": 10 * penalty}


class StyleMixin(NDAMixin):
    """Adds lazy R1 regularization, and publishes the logits of real images for ADA."""

    own_loss = "logistic"
    takes_other_losses = False

    def penalties(self, images: dict[str, Labeled], logits: dict[str, Tensor], fake_weight: float) -> dict[str, Tensor]:
        """Publish ``disc_pred_real`` as mmagic does, and return R1 on real images every ``r1_interval`` iterations."""
        hub = MessageHub.get_current_instance()
        hub.update_info("disc_pred_real", logits["real"])
        if hub.get_info("iter") % self.r1_interval:
            return {}
        penalty = r1_gradient_penalty_loss(
            self.discriminator, images["real"][0], norm_mode=self.norm_mode, use_apex_amp=self.r1_use_apex_amp
        )
        return {"loss_r1_gp": self.r1_loss_weight * penalty}


@MODELS.register_module()
class NDAStyleGAN2(StyleMixin, StyleGAN2):
    """StyleGAN2 (Karras et al., 2020, https://arxiv.org/abs/1912.04958) with negatives.

    The discriminator has a minibatch standard deviation layer, so real, generated and negative images are scored
    separately. The generator's path-length term is mmagic's. With ``ADAStyleGAN2Discriminator``, all three kinds of
    images are augmented alike, and ADA reads the logits of the real ones. On torch above 1.10, that discriminator needs
    a patch for R1 (:class:`nda_mm.compat.mmagic.MMagicGridSample`).

    Example:
        In a config::

            model = dict(type='nda_mm.NDAStyleGAN2', negative=dict(type='Jigsaw', grid=2), fake_weight=0.25)
    """


@MODELS.register_module()
class NDAStyleGAN3(StyleMixin, StyleGAN3):
    """StyleGAN3 (Karras et al., 2021, https://arxiv.org/abs/2106.12423) with negatives.

    Example:
        In a config of mmagic::

            model = dict(type='nda_mm.NDAStyleGAN3', negative=dict(type='Jigsaw', grid=2), fake_weight=0.25)
    """

    def generator_kwargs(self) -> dict[str, Any]:
        """Return the arguments that mmagic passes to its generator in the discriminator's step."""
        return self.forward_kwargs["disc"]


@MODELS.register_module()
class NDAMSPIEStyleGAN2(StyleMixin, MSPIEStyleGAN2):
    """MS-PIE StyleGAN2 (Xu et al., 2021, https://arxiv.org/abs/2012.05217), with negatives.

    It trains at several resolutions. This class draws the scale of a step on any device, with
    ``multi_scale_probability``; mmagic draws it on CUDA only and ignores the probabilities. In a single process it is
    always the smallest, as in mmagic.

    Example:
        In a config of mmagic::

            model = dict(type='nda_mm.NDAMSPIEStyleGAN2', negative=dict(type='Jigsaw', grid=2), fake_weight=0.25)
    """

    def uses_base_step(self, fake_weight: float) -> bool:
        """Return False: the step of the base class would draw a different scale."""
        return False

    def image_sizes(self) -> list[tuple[int, int]]:
        """Return the image size of every scale."""
        sides = [(4 + scale) * 2**self.num_upblocks for scale in self.multi_input_scales or [0]]
        return [(side, side) for side in sides]

    def real_batch(self, inputs: Any, data_samples: Any) -> Labeled:
        """Draw the scale of this step and resize the real images to it."""
        images = data_samples.gt_img
        self.chosen_scale = 0
        if is_distributed():
            drawn = np.random.choice(self.multi_input_scales or [0], p=self.multi_scale_probability)  # noqa: NPY002
            scale = torch.tensor(int(drawn), device=images.device)
            broadcast(scale)  # all processes need images of the same size
            self.chosen_scale = int(scale)
        side = (4 + self.chosen_scale) * 2**self.num_upblocks
        if images.shape[-2:] != (side, side):
            images = F.interpolate(images, size=(side, side), mode="bilinear", align_corners=True)
        return images, None

    def generator_kwargs(self) -> dict[str, Any]:
        """Return the scale of this step."""
        return dict(chosen_scale=self.chosen_scale)


@MODELS.register_module()
class ADA(ADAAug):
    """mmagic's adaptive augmentation (ADA), for GANs other than its own StyleGAN2 with ADA.

    The strength follows the mean sign of the logits of real images: it grows above ``ada_target`` and falls below.
    Strength and statistics are buffers, so a resumed run continues with them. All processes share one strength.

    Source: Karras et al., "Training Generative Adversarial Networks with Limited Data", NeurIPS 2020,
    https://arxiv.org/abs/2006.06676.

    Args:
        aug_pipeline: Settings of mmagic's ``AugmentPipe`` that choose the transforms, for example
            ``dict(xflip=1, xint=1, brightness=1)``. Defaults to None: no transforms.
        update_interval: Number of iterations between updates of the strength. Defaults to 4.
        augment_initial_p: Initial strength. Defaults to 0.
        ada_target: Target of the mean sign of the logits of real images, in (-1, 1). Defaults to 0.6.
        ada_kimg: Thousands of images in which the strength can grow from 0 to 1. Defaults to 500.

    Example:
        In a config::

            model = dict(type='nda_mm.NDASNGAN', augment=dict(type='ADA', aug_pipeline=dict(xflip=1, xint=1, scale=1)))
    """

    log_buffer: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """Return the augmented images."""
        return self.aug_pipeline(x)

    @torch.no_grad()
    def observe(self, real_logits: Tensor, iteration: int) -> dict[str, Any]:
        """Record the logits of a step's real images, and update the strength every ``update_interval`` iterations.

        Returns:
            Values to log: ``augment``, the strength.
        """
        noted = torch.stack([real_logits.new_tensor(float(len(real_logits))), real_logits.sign().sum()])
        all_reduce(noted)
        self.log_buffer += noted.to(self.log_buffer)
        if (iteration + 1) % self.update_interval == 0:
            images = float(self.log_buffer[0]) / self.update_interval
            self.update(iteration=iteration, num_batches=images)
        return {"augment": self.aug_pipeline.p.detach().clone()}
