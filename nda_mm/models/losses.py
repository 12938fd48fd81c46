"""Registered loss modules: the functions of :mod:`nda_mm.losses`, with their settings."""

from __future__ import annotations

from torch import Tensor, nn

from nda_mm.functional.checks import check_positive
from nda_mm.losses import (
    check_fake_weight,
    check_kind,
    check_negative_weight,
    discriminator_loss,
    generator_loss,
    info_nce,
)
from nda_mm.registry import MODELS


@MODELS.register_module()
class NDAGANLoss(nn.Module):
    """Adversarial loss with negatives, usable in the config of any framework as ``dict(type='nda_mm.NDAGANLoss')``.

    Calling the module with logits returns the discriminator's loss, :meth:`generator` the generator's. It has no
    parameters.

    Source: Sinha et al., "Negative Data Augmentation", ICLR 2021, section 3, https://arxiv.org/abs/2102.05113.

    Args:
        kind: One of :data:`nda_mm.losses.KINDS`. Defaults to ``'hinge'``.
        fake_weight: Weight of the generated images in the mixture that the discriminator learns to reject, in (0, 1].
            Negatives get the rest. Defaults to 0.25.

    Raises:
        ValueError: If ``kind`` is unknown or ``fake_weight`` is outside (0, 1].

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
        """Return the discriminator's weighted terms. ``fake_weight`` overrides the module's own, for a schedule."""
        weight = self.fake_weight if fake_weight is None else fake_weight
        return discriminator_loss(real, fake, negative, kind=self.kind, fake_weight=weight)

    def generator(self, fake: Tensor) -> Tensor:
        """Return the generator's loss on the logits of generated images."""
        return generator_loss(fake, kind=self.kind)

    def extra_repr(self) -> str:
        return f"kind={self.kind!r}, fake_weight={self.fake_weight}"


@MODELS.register_module()
class NDAInfoNCELoss(nn.Module):
    """InfoNCE with negatives, usable in the config of any framework as ``dict(type='nda_mm.NDAInfoNCELoss')``.

    Use it in your own model. mmpretrain's MoCo does not need it: ``nda_mm.NDAContrastHook`` adds negatives to the loss
    that the model already has. The module has no parameters.

    Source: see :func:`nda_mm.losses.info_nce`.

    Args:
        temperature: Temperature that divides the logits, above 0. Defaults to 0.2, as in MoCo v2.
        negative_weight: ``w``, weight of one negative relative to one key of the queue, finite and at least 0. Defaults
            to 1.

    Raises:
        ValueError: If ``temperature`` or ``negative_weight`` is out of range.

    Example:
        >>> import torch
        >>> loss = NDAInfoNCELoss(temperature=1.0)
        >>> query = key = torch.tensor([[1.0, 0.0]])
        >>> queue, negative_keys = torch.tensor([[0.0], [1.0]]), torch.tensor([[[0.0, 1.0]]])
        >>> round(loss(query, key, queue, negative_keys).item(), 4)
        0.5514
    """

    def __init__(self, temperature: float = 0.2, negative_weight: float = 1.0) -> None:
        super().__init__()
        self.temperature = check_positive(temperature, "temperature")
        self.negative_weight = check_negative_weight(negative_weight)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        queue: Tensor,
        negative_keys: Tensor | None = None,
        negative_weight: float | None = None,
    ) -> Tensor:
        """Return the mean loss. ``negative_weight`` overrides the module's own, for a schedule."""
        weight = self.negative_weight if negative_weight is None else negative_weight
        return info_nce(query, key, queue, negative_keys, temperature=self.temperature, negative_weight=weight)

    def extra_repr(self) -> str:
        return f"temperature={self.temperature}, negative_weight={self.negative_weight}"
