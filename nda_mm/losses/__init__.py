"""How negatives enter a loss: pure torch functions on logits (adversarial) and features (contrastive, dense)."""

from .adversarial import KINDS, check_fake_weight, check_kind, discriminator_loss, generator_loss
from .contrastive import check_negative_weight, info_nce, negative_logits
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
    "negative_logits",
]
