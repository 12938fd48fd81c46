"""Losses with negatives as pure torch functions: adversarial, contrastive, dense contrastive and outlier exposure."""

from .adversarial import KINDS, check_fake_weight, check_kind, discriminator_loss, generator_loss
from .cross_entropy import check_negative_weight, info_nce, mixed_keys, negative_logits, outlier_exposure
from .dense_contrast import check_negative_places, dense_contrast

__all__ = [
    "KINDS",
    "check_fake_weight",
    "check_kind",
    "check_negative_places",
    "check_negative_weight",
    "dense_contrast",
    "discriminator_loss",
    "generator_loss",
    "info_nce",
    "mixed_keys",
    "negative_logits",
    "outlier_exposure",
]
