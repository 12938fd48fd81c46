"""How negatives enter an adversarial loss: pure functions from the discriminator's logits to named loss terms.

The discriminator sees three kinds of images. Real ones pull its logits up; generated ones, with weight ``fake_weight``,
and negatives, with weight ``1 - fake_weight``, push them down: the generated distribution of an ordinary GAN is
replaced by the mixture ``fake_weight * G + (1 - fake_weight) * P_neg``. The generator's own loss stays the plain one.

Source: Sinha et al., "Negative Data Augmentation", ICLR 2021, section 3, https://arxiv.org/abs/2102.05113.

Which kinds keep ``G = p_data`` optimal (supports of the data and of the negatives disjoint):

- ``logistic``, ``least_squares``, ``kullback_leibler``, ``pearson``, ``squared_hellinger``: it is the only optimum, as
  their divergences are strictly convex. ``kl`` descends the Donsker-Varadhan form of KL, so that this holds there too,
  as long as no hinge is active.
- ``hinge``: at the optimal discriminator it measures total variation, which is not strictly convex. ``p_data`` is an
  optimum as is every other ``G <= p_data / fake_weight``.
- ``wasserstein``: no guarantee. The transport cost of the mixture can be lower where the generator leaves a part of
  the data to nearby negatives.

``tests/test_theorem.py`` shows this by enumeration. The reverse Kullback-Leibler divergence is missing on purpose: it
is infinite, whatever the generator does, as soon as the negatives lie outside the support of the data.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..functional.checks import check_choice, check_floating, check_number

Pointwise = Callable[[Tensor], Tensor]


class _Kind(NamedTuple):
    """One loss, as three functions of single logits; each batch is averaged afterwards."""

    real: Pointwise  # the discriminator's, on real images
    fake: Pointwise  # the discriminator's, on generated images and on negatives
    generator: Pointwise  # the generator's, on generated images


def _to_target(loss: Callable[..., Tensor], target: float) -> Pointwise:
    return lambda logits: loss(logits, torch.full_like(logits, target), reduction="none")


def _f_divergence(activation: Pointwise, conjugate: Pointwise) -> _Kind:
    """The variational bound of an f-divergence: its output activation, and its conjugate after that activation.

    Source: Nowozin et al., "f-GAN", NeurIPS 2016, tables 2 and 6, https://arxiv.org/abs/1606.00709. The generator
    raises the activation on its samples (section 3.2 there) because lowering the conjugate saturates.
    """
    return _Kind(lambda v: -activation(v), conjugate, lambda v: -activation(v))


_BCE, _MSE = F.binary_cross_entropy_with_logits, F.mse_loss
_POINTWISE: dict[str, _Kind] = {
    "hinge": _Kind(lambda v: F.relu(1 - v), lambda v: F.relu(1 + v), lambda v: -v),
    "logistic": _Kind(lambda v: F.softplus(-v), F.softplus, lambda v: F.softplus(-v)),
    # The same function as ``logistic``, in the arithmetic of mmagic's DCGAN and of its GANLoss('vanilla').
    "vanilla": _Kind(_to_target(_BCE, 1.0), _to_target(_BCE, 0.0), _to_target(_BCE, 1.0)),
    "least_squares": _Kind(_to_target(_MSE, 1.0), _to_target(_MSE, 0.0), _to_target(_MSE, 1.0)),
    "wasserstein": _Kind(lambda v: -v, lambda v: v, lambda v: -v),
    "kullback_leibler": _f_divergence(lambda v: v, lambda v: torch.exp(v - 1)),
    "pearson": _f_divergence(lambda v: v, lambda v: v * v / 4 + v),
    "squared_hellinger": _f_divergence(lambda v: -torch.expm1(-v), torch.expm1),
}

#: The kinds that :func:`discriminator_loss` and :func:`generator_loss` know.
KINDS: tuple[str, ...] = (*_POINTWISE, "kl")


def check_kind(kind: str) -> str:
    """Return ``kind`` if it is one of :data:`KINDS`, else raise ``ValueError``."""
    return check_choice(kind, "kind", KINDS)


def check_fake_weight(fake_weight: float) -> float:
    """Return ``fake_weight`` as a float if it lies in (0, 1], else raise ``ValueError`` or ``TypeError``."""
    weight = check_number(fake_weight, "fake_weight")
    if not 0.0 < weight <= 1.0:
        raise ValueError(f"fake_weight must lie in (0, 1], but got {fake_weight}")
    return weight


def discriminator_loss(
    real: Tensor,
    fake: Tensor,
    negative: Tensor | None = None,
    *,
    kind: str = "hinge",
    fake_weight: float | Tensor = 0.25,
) -> dict[str, Tensor]:
    """The discriminator's loss on real, generated and negative images, as named terms that are already weighted.

    With the hinge, the sum of the terms is ``mean relu(1 - D(x)) + fake_weight * mean relu(1 + D(G(z)))
    + (1 - fake_weight) * mean relu(1 + D(T(x)))``. Without negatives the weights are 1 and 1, so that the terms are
    those of the plain GAN, to the last bit; at ``fake_weight=1`` they are too, and the negatives' term is a constant 0
    whatever their logits (a warm-up logs the same names as what follows it).

    Source: Sinha et al., ICLR 2021, section 3, https://arxiv.org/abs/2102.05113. For ``kind='kl'`` also Song and Ermon,
    "Bridging the Gap Between f-GANs and Wasserstein GANs", ICML 2020, https://arxiv.org/abs/1910.09779: a generated
    image's logit ``v`` is replaced by ``r * v`` with the importance weight ``r = exp(v) / mean exp(v)``, a constant to
    the gradient. Negatives are part of the mixture that is reweighted, so the mean below the fraction is taken over the
    mixture; the authors of the negatives normalize generated images and negatives apart, which reweights neither
    against the other.

    Args:
        real: The discriminator's logits on real images.
        fake: Its logits on generated images.
        negative: Its logits on negatives, or None for the plain GAN.
        kind: One of :data:`KINDS`. Defaults to ``'hinge'``.
        fake_weight: Share of the generated images in the mixture, in (0, 1]. A scalar tensor is not checked, since that
            would wait for the device, and must lie below 1. Defaults to 0.25.

    Shape:
        Each of any shape, ``(B,)``, ``(B, 1)`` or patches ``(B, 1, H, W)``; they need not agree. float16 and bfloat16
        are promoted to float32, as exponentials and means lose too much in them.

    Returns:
        ``loss_disc_real``, ``loss_disc_fake`` and, with negatives, ``loss_disc_negative``: scalars to be summed.

    Raises:
        ValueError: If ``kind`` is unknown, ``fake_weight`` lies outside (0, 1], or there are no logits.
        TypeError: If logits are not floating-point tensors.

    Example:
        >>> real, fake, negative = torch.tensor([0.5]), torch.tensor([-0.5]), torch.tensor([1.0])
        >>> terms = discriminator_loss(real, fake, negative, fake_weight=0.25)
        >>> {name: term.item() for name, term in terms.items()}
        {'loss_disc_real': 0.5, 'loss_disc_fake': 0.125, 'loss_disc_negative': 1.5}
    """
    check_kind(kind)
    fake_weight = fake_weight if isinstance(fake_weight, Tensor) else check_fake_weight(fake_weight)
    real, fake = _checked(real, "real"), _checked(fake, "fake")
    negative = None if negative is None else _checked(negative, "negative")
    # At weight 1 the negatives are left out rather than multiplied by 0: 0 * inf is not 0.
    weighted = negative if isinstance(fake_weight, Tensor) or fake_weight < 1.0 else None

    if kind == "kl":
        if weighted is None:
            (fake,) = _kl_reweighted([fake], [1.0])
        else:
            fake, weighted = _kl_reweighted([fake, weighted], [fake_weight, 1.0 - fake_weight])
        kind = "hinge"

    loss = _POINTWISE[kind]
    terms = {"loss_disc_real": loss.real(real).mean(), "loss_disc_fake": loss.fake(fake).mean()}
    if weighted is not None:
        terms["loss_disc_fake"] = fake_weight * terms["loss_disc_fake"]
        terms["loss_disc_negative"] = (1.0 - fake_weight) * loss.fake(weighted).mean()
    elif negative is not None:
        terms["loss_disc_negative"] = negative.new_zeros(())
    return terms


def generator_loss(fake: Tensor, *, kind: str = "hinge") -> Tensor:
    """The generator's loss that belongs to :func:`discriminator_loss`; negatives and ``fake_weight`` do not enter it.

    ``hinge``, ``wasserstein``: ``-mean v``; ``logistic``, ``vanilla``: the non-saturating ``mean softplus(-v)``;
    ``least_squares``: ``mean (v - 1)^2``; ``kl``: ``-mean r v`` with the weights ``r`` over the generated batch (those
    of the mixture differ by a common factor); the f-divergences: ``-mean g(v)``, with their output activation ``g``.

    Source: the authors' code leaves it unscaled too; see :func:`discriminator_loss`.

    Args:
        fake: The discriminator's logits on generated images.
        kind: One of :data:`KINDS`. Defaults to ``'hinge'``.

    Shape:
        Any; float16 and bfloat16 are promoted to float32.

    Returns:
        A scalar.

    Raises:
        ValueError: If ``kind`` is unknown or there are no logits.
        TypeError: If the logits are not floating-point tensors.

    Example:
        >>> generator_loss(torch.tensor([2.0, 0.0]), kind="hinge").item()
        -1.0
    """
    check_kind(kind)
    fake = _checked(fake, "fake")
    if kind == "kl":
        (fake,), kind = _kl_reweighted([fake], [1.0]), "hinge"
    if kind in ("hinge", "wasserstein"):
        return -fake.mean()  # the order in which hosts round it
    return _POINTWISE[kind].generator(fake).mean()


def _checked(logits: Tensor, name: str) -> Tensor:
    logits = check_floating(logits, name)
    if logits.numel() == 0:
        raise ValueError(f"{name} has no logits (shape {tuple(logits.shape)})")
    return logits


def _kl_reweighted(parts: list[Tensor], weights: list[float | Tensor]) -> list[Tensor]:
    """The logits of the parts of a mixture, each times ``exp(v) / mean exp(v)``, the mean being that of the mixture."""
    peak = torch.stack([part.detach().max() for part in parts]).max()  # taken off first: exp would overflow
    excess = [part.detach() - peak for part in parts]
    mean = sum(weight * part.exp().mean() for weight, part in zip(weights, excess))
    return [part * (above.exp() / mean) for part, above in zip(parts, excess)]
