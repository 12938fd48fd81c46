"""Augmentation in front of a discriminator, which the GANs take as ``augment=``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmengine.registry import DefaultScope
from torch import Tensor, nn

from nda_mm.functional.differentiable import POLICIES, check_policy, diff_augment
from nda_mm.registry import MODELS, SCOPE

__all__ = ["DiffAugment", "augment_discriminator", "build_augment"]


@MODELS.register_module()
class DiffAugment(nn.Module):
    """Differentiable augmentation, see :func:`nda_mm.functional.diff_augment`.

    Args:
        policy: Which of 'color', 'translation', 'cutout'. Default all.

    Example:
        In a config::

            model = dict(type='nda_mm.NDASNGAN', augment=dict(type='DiffAugment', policy=['color', 'translation']))
    """

    def __init__(self, policy: Sequence[str] = POLICIES) -> None:
        super().__init__()
        self.policy = check_policy(policy)

    def forward(self, x: Tensor) -> Tensor:
        return diff_augment(x, self.policy)

    def extra_repr(self) -> str:
        return f"policy={list(self.policy)}"


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
