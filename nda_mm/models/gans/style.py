"""mmagic's StyleGANs of one resolution, and the one of several, with negatives; and ADA. Versions: mmagic 1.2."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from mmagic.models.editors import MSPIEStyleGAN2, StyleGAN2, StyleGAN3
from mmagic.models.editors.stylegan2.stylegan2_discriminator import ADAAug
from mmagic.models.losses import r1_gradient_penalty_loss
from mmengine import MessageHub
from mmengine.dist import all_reduce, broadcast, is_distributed
from torch import Tensor

from nda_mm.models.gans.mixin import Labeled, NDAMixin
from nda_mm.registry import MODELS

__all__ = ["ADA", "NDAMSPIEStyleGAN2", "NDAStyleGAN2", "NDAStyleGAN3"]


class StyleMixin(NDAMixin):
    """Lazy R1, and the logits of real images published where ADA reads them."""

    own_loss = "logistic"
    takes_other_losses = False

    def penalties(self, images: dict[str, Labeled], logits: dict[str, Tensor], fake_weight: float) -> dict[str, Tensor]:
        """R1 on real images every ``r1_interval`` iterations; ``disc_pred_real`` is published, as in mmagic."""
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

    Its discriminator has a layer of minibatch standard deviation, so real, generated and negative images are scored
    apart; the path-length term of the generator is mmagic's. With ``ADAStyleGAN2Discriminator`` all three kinds of
    image are augmented alike, and ADA reads the logits of the real ones. On torch above 1.10 that discriminator needs a
    patch for R1 (:class:`nda_mm.compat.mmagic.MMagicGridSample`).

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
        """Those that mmagic gives its generator in the discriminator's step."""
        return self.forward_kwargs["disc"]


@MODELS.register_module()
class NDAMSPIEStyleGAN2(StyleMixin, MSPIEStyleGAN2):
    """MS-PIE StyleGAN2 (Xu et al., 2021, https://arxiv.org/abs/2012.05217), of several resolutions, with negatives.

    The scale of a step is drawn here, on any device and by ``multi_scale_probability``: mmagic draws it on CUDA only
    and ignores the probabilities. In a single process it is the smallest, as in mmagic.

    Example:
        In a config of mmagic::

            model = dict(type='nda_mm.NDAMSPIEStyleGAN2', negative=dict(type='Jigsaw', grid=2), fake_weight=0.25)
    """

    def uses_base_step(self, fake_weight: float) -> bool:
        """Never: the step of the base class draws another scale."""
        return False

    def image_sizes(self) -> list[tuple[int, int]]:
        """Of every scale."""
        sides = [(4 + scale) * 2**self.num_upblocks for scale in self.multi_input_scales or [0]]
        return [(side, side) for side in sides]

    def real_batch(self, inputs: Any, data_samples: Any) -> Labeled:
        """Draw the scale of this step and resize the real images to it."""
        images = data_samples.gt_img
        self.chosen_scale = self._draw_scale(images.device)
        side = (4 + self.chosen_scale) * 2**self.num_upblocks
        if images.shape[-2:] != (side, side):
            images = F.interpolate(images, size=(side, side), mode="bilinear", align_corners=True)
        return images, None

    def _draw_scale(self, device: torch.device) -> int:
        if not is_distributed():
            return 0
        drawn = np.random.choice(self.multi_input_scales or [0], p=self.multi_scale_probability)  # noqa: NPY002
        scale = torch.tensor(int(drawn), device=device)
        broadcast(scale)
        return int(scale)

    def generator_kwargs(self) -> dict[str, Any]:
        """The scale of this step."""
        return dict(chosen_scale=self.chosen_scale)


@MODELS.register_module()
class ADA(ADAAug):
    """mmagic's adaptive augmentation for a GAN other than its StyleGAN2 with ADA.

    The strength follows the mean sign of the logits of real images: above ``ada_target`` it grows, below it falls.
    Strength and statistics are buffers, so a resumed run continues with them. All processes share one strength.

    Source: Karras et al., "Training Generative Adversarial Networks with Limited Data", NeurIPS 2020,
    https://arxiv.org/abs/2006.06676.

    Args:
        aug_pipeline: Settings of mmagic's ``AugmentPipe``: which transforms there are, for example
            ``dict(xflip=1, xint=1, brightness=1)``. Default None: none.
        update_interval: Iterations between two changes of the strength. Default 4.
        augment_initial_p: Strength to begin with. Default 0.
        ada_target: Mean sign of the logits of real images to aim at, in (-1, 1). Default 0.6.
        ada_kimg: Thousands of images in which the strength can grow from 0 to 1. Default 500.

    Example:
        In a config::

            model = dict(type='nda_mm.NDASNGAN', augment=dict(type='ADA', aug_pipeline=dict(xflip=1, xint=1, scale=1)))
    """

    log_buffer: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """The augmented images."""
        return self.aug_pipeline(x)

    @torch.no_grad()
    def observe(self, real_logits: Tensor, iteration: int) -> dict[str, Any]:
        """Record a step's logits of real images, and at the interval change the strength.

        Returns:
            What is logged: ``augment``, the strength.
        """
        noted = torch.stack([real_logits.new_tensor(float(len(real_logits))), real_logits.sign().sum()])
        all_reduce(noted)
        self.log_buffer += noted.to(self.log_buffer)
        if (iteration + 1) % self.update_interval == 0:
            images = float(self.log_buffer[0]) / self.update_interval
            self.update(iteration=iteration, num_batches=images)
        return {"augment": self.aug_pipeline.p.detach().clone()}
