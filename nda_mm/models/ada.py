"""Adaptive augmentation in front of any of mmagic's discriminators. Versions: mmagic 1.2."""

from __future__ import annotations

from typing import Any

import torch
from mmagic.models.editors.stylegan2.stylegan2_discriminator import ADAAug
from mmengine.dist import all_reduce
from torch import Tensor

from nda_mm.registry import MODELS

__all__ = ["ADA"]


@MODELS.register_module()
class ADA(ADAAug):
    """mmagic's adaptive augmentation for a GAN other than its StyleGAN2 with ADA.

    How strongly images are augmented follows the share of real images that the discriminator holds for real: above
    ``ada_target`` it grows, below it falls. The strength and what it is computed from are buffers, so a resumed run
    goes on with them; with several processes all see the same strength, which in mmagic's own step each has for itself.

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
        ``model = dict(type='nda_mm.NDASNGAN', augment=dict(type='ADA', aug_pipeline=dict(xflip=1, xint=1, scale=1)))``
    """

    log_buffer: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """The augmented images."""
        augmented: Tensor = self.aug_pipeline(x)
        return augmented

    @torch.no_grad()
    def observe(self, real_logits: Tensor, iteration: int) -> dict[str, Any]:
        """Take note of a step's logits of real images, and at the interval change the strength.

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
