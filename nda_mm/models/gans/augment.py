"""Augmentation in front of a discriminator, which the GANs take as ``augment=``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmagic.models.editors.stylegan2.stylegan2_discriminator import ADAAug
from mmengine.dist import all_reduce
from mmengine.registry import DefaultScope
from torch import Tensor, nn

from nda_mm.functional.differentiable import POLICIES, check_policy, diff_augment
from nda_mm.registry import MODELS, SCOPE

__all__ = ["ADA", "DiffAugment", "augment_discriminator", "build_augment"]


@MODELS.register_module()
class DiffAugment(nn.Module):
    """Differentiable augmentation, see :func:`nda_mm.functional.diff_augment`.

    Args:
        policy: Which of 'color', 'translation', 'cutout'. Default all.

    Example:
        ``model = dict(type='nda_mm.NDASNGAN', augment=dict(type='DiffAugment', policy=['color', 'translation']))``
    """

    def __init__(self, policy: Sequence[str] = POLICIES) -> None:
        super().__init__()
        self.policy = check_policy(policy)

    def forward(self, x: Tensor) -> Tensor:
        return diff_augment(x, self.policy)

    def extra_repr(self) -> str:
        return f"policy={list(self.policy)}"


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


def build_augment(augment: dict | nn.Module | None) -> nn.Module | None:
    """Build an augmentation from its config; a module or None is returned as it is."""
    if augment is None or isinstance(augment, nn.Module):
        return augment
    if not isinstance(augment, dict) or "type" not in augment:
        raise TypeError(f"augment must be a module or a config with 'type', but got {augment!r}.")
    with DefaultScope.overwrite_default_scope(SCOPE):
        return MODELS.build(augment)


def augment_discriminator(discriminator: nn.Module, augment: nn.Module) -> None:
    """Let every image that the discriminator is trained on pass through ``augment`` first.

    Real, generated and negative images alike, in the steps of both networks and in gradient penalties; in evaluation
    nothing is augmented. It is a hook, so checkpoint keys stay as they are.
    """

    def hook(module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        return (augment(args[0]), *args[1:]) if module.training else None

    discriminator.register_forward_pre_hook(hook)
