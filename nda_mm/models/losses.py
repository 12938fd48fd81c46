"""The registered loss module: settings bound to the functions of :mod:`nda_mm.losses`."""

from __future__ import annotations

from torch import Tensor, nn

from nda_mm.losses import check_fake_weight, check_kind, discriminator_loss, generator_loss
from nda_mm.registry import MODELS

__all__ = ["NDAGANLoss"]


@MODELS.register_module()
class NDAGANLoss(nn.Module):
    """Adversarial loss with negatives, usable from any host's config as ``dict(type='nda_mm.NDAGANLoss')``.

    Called with logits it is the discriminator's loss; :meth:`generator` is the generator's. It has no parameters.

    Source: Sinha et al., "Negative Data Augmentation", ICLR 2021, section 3, https://arxiv.org/abs/2102.05113.

    Args:
        kind: One of :data:`nda_mm.losses.KINDS`. Default ``'hinge'``.
        fake_weight: Share of the generated images in the mixture that the discriminator opposes, in (0, 1]; negatives
            have the rest. Default 0.25.

    Raises:
        ValueError: if ``kind`` is unknown or ``fake_weight`` lies outside (0, 1].

    Example:
        >>> import torch
        >>> loss = NDAGANLoss(kind="hinge", fake_weight=0.25)
        >>> terms = loss(torch.zeros(4, 1), torch.zeros(4, 1), torch.zeros(4, 1))
        >>> {name: term.item() for name, term in terms.items()}
        {'loss_disc_real': 1.0, 'loss_disc_fake': 0.25, 'loss_disc_negative': 0.75}
    """

    def __init__(self, kind: str = "hinge", fake_weight: float = 0.25) -> None:
        super().__init__()
        self.kind = check_kind(kind)
        self.fake_weight = check_fake_weight(fake_weight)

    def forward(
        self, real: Tensor, fake: Tensor, negative: Tensor | None = None, fake_weight: float | None = None
    ) -> dict[str, Tensor]:
        """The discriminator's weighted terms; ``fake_weight`` overrides the module's own, for a schedule."""
        weight = self.fake_weight if fake_weight is None else fake_weight
        return discriminator_loss(real, fake, negative, kind=self.kind, fake_weight=weight)

    def generator(self, fake: Tensor) -> Tensor:
        """The generator's loss on the logits of generated images."""
        return generator_loss(fake, kind=self.kind)

    def extra_repr(self) -> str:
        return f"kind={self.kind!r}, fake_weight={self.fake_weight}"
