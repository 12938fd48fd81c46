"""mmagic's StyleGANs of one resolution, and the one of several, with negatives. Versions: mmagic 1.2."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from mmagic.models.editors import MSPIEStyleGAN2, StyleGAN2, StyleGAN3
from mmagic.models.losses import r1_gradient_penalty_loss
from mmengine import MessageHub
from mmengine.dist import broadcast, is_distributed
from torch import Tensor

from nda_mm.models.gans.mixin import Labelled, NDAMixin
from nda_mm.registry import MODELS

__all__ = ["NDAMSPIEStyleGAN2", "NDAStyleGAN2", "NDAStyleGAN3"]


class StyleMixin(NDAMixin):
    """The bridge for StyleGANs: R1 now and then, and the real images' logits where ADA reads them."""

    own_loss = "logistic"
    takes_other_losses = False

    def penalties(
        self, images: dict[str, Labelled], logits: dict[str, Tensor], fake_weight: float
    ) -> dict[str, Tensor]:
        """R1 on real images every ``r1_interval`` iterations; and ``disc_pred_real`` is published, as the host does."""
        hub = MessageHub.get_current_instance()
        hub.update_info("disc_pred_real", logits["real"])
        if hub.get_info("iter") % self.r1_interval:
            return {}
        penalty = r1_gradient_penalty_loss(
            self.discriminator, images["real"][0], norm_mode=self.norm_mode, use_apex_amp=self.r1_use_apex_amp
        )
        return {"loss_r1_gp": self.r1_loss_weight * penalty}

    r1_interval: int
    r1_loss_weight: float
    r1_use_apex_amp: bool
    norm_mode: str


@MODELS.register_module()
class NDAStyleGAN2(StyleMixin, StyleGAN2):
    """StyleGAN2 (Karras et al., 2020, https://arxiv.org/abs/1912.04958) with negatives.

    Its discriminator has a layer of minibatch standard deviation, so real, generated and negative images are scored
    apart; the path-length term of the generator is the host's. With mmagic's ``ADAStyleGAN2Discriminator`` all three
    kinds of image pass through the same augmentation, and ADA reads the real ones' logits as before. On torch above
    1.10 that discriminator trains with R1 by a patch alone (:class:`nda_mm.compat.mmagic.MMagicGridSample`).

    Example:
        ``model = dict(type='nda_mm.NDAStyleGAN2', negative=dict(type='Jigsaw', grid=2), fake_weight=0.25)``
    """


@MODELS.register_module()
class NDAStyleGAN3(StyleMixin, StyleGAN3):
    """StyleGAN3 (Karras et al., 2021, https://arxiv.org/abs/2106.12423) with negatives."""

    forward_kwargs: dict[str, dict[str, Any]]

    def generated_batch(self, count: int) -> Labelled:
        """Generated images, with the arguments that the host gives its generator here."""
        noise = self.noise_fn(num_batches=count)
        with torch.no_grad():
            return self.generator(noise, return_noise=False, **self.forward_kwargs["disc"]), None


@MODELS.register_module()
class NDAMSPIEStyleGAN2(StyleMixin, MSPIEStyleGAN2):
    """MS-PIE StyleGAN2 (Xu et al., 2021, https://arxiv.org/abs/2012.05217), of several resolutions, with negatives.

    The scale of a step is drawn here, on any device and by ``multi_scale_probability``: the host draws it on CUDA only
    and hands the probabilities to numpy as another argument, so that they count for nothing. In a single process it is
    the smallest, as in the host.
    """

    num_upblocks: int
    multi_input_scales: list[int] | None
    multi_scale_probability: list[float] | None

    def uses_base_step(self, fake_weight: float) -> bool:
        """Never, for the scale's sake."""
        return False

    def image_sizes(self) -> list[tuple[int, int]]:
        """Of every scale."""
        sides = [(4 + scale) * 2**self.num_upblocks for scale in self.multi_input_scales or [0]]
        return [(side, side) for side in sides]

    def real_batch(self, inputs: Any, data_samples: Any) -> Labelled:
        """The real images at the scale of this step, which is drawn here."""
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

    def generated_batch(self, count: int) -> Labelled:
        """Generated images at the scale of this step."""
        noise = self.noise_fn(num_batches=count)
        with torch.no_grad():
            return self.generator(noise, return_noise=False, chosen_scale=self.chosen_scale), None
