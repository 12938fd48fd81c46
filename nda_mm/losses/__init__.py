"""How negatives enter a loss: pure functions on logits (adversarial) and on features (contrastive); torch only."""

from .adversarial import KINDS, check_fake_weight, check_kind, discriminator_loss, generator_loss
from .contrastive import check_negative_weight, info_nce, negative_logits

__all__ = [
    "KINDS",
    "check_fake_weight",
    "check_kind",
    "check_negative_weight",
    "discriminator_loss",
    "generator_loss",
    "info_nce",
    "negative_logits",
]
