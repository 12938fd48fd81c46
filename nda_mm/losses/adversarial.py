"""Adversarial losses with negatives: pure functions from the discriminator's logits to named loss terms.

The discriminator sees three kinds of images. Real images pull its logits up. Generated images, with weight
``fake_weight``, and negatives, with weight ``1 - fake_weight``, push them down: the generated distribution of an
ordinary GAN is replaced by the mixture ``fake_weight * G + (1 - fake_weight) * P_neg``. The generator's loss does not
change.

Source: Sinha et al., "Negative Data Augmentation", ICLR 2021, section 3, https://arxiv.org/abs/2102.05113.

Whether ``G = p_data`` is optimal, if the data and the negatives have disjoint supports, depends on the kind:

- ``logistic``, ``least_squares``, ``kullback_leibler``, ``pearson``, ``squared_hellinger``: it is the only optimum,
  since their divergences are strictly convex. ``kl`` descends the Donsker-Varadhan form of KL, so the same holds as
  long as no hinge is active.
- ``hinge``: at the optimal discriminator it measures total variation, which is not strictly convex. ``p_data`` is an
  optimum, but so is every other ``G <= p_data / fake_weight``.
- ``wasserstein``: no guarantee. The transport cost of the mixture can be lower if the generator leaves a part of the
  data to nearby negatives.

``tests/test_theorem.py`` shows this by enumeration. The reverse Kullback-Leibler divergence is left out on purpose: it
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
    """One loss, as three elementwise functions of logits; batches are averaged afterwards."""

    real: Pointwise  # discriminator loss on real images
    fake: Pointwise  # discriminator loss on generated images and negatives
    generator: Pointwise  # generator loss on generated images


def _to_target(loss: Callable[..., Tensor], target: float) -> Pointwise:
    return lambda logits: loss(logits, torch.full_like(logits, target), reduction="none")


def _f_divergence(activation: Pointwise, conjugate: Pointwise) -> _Kind:
    """Make the variational bound of an f-divergence from its output activation, and its conjugate after it.

    Source: Nowozin et al., "f-GAN", NeurIPS 2016, tables 2 and 6, https://arxiv.org/abs/1606.00709. The generator
    maximizes the activation on its samples (section 3.2 there) because the loss with the conjugate saturates.
    """
    return _Kind(lambda v: -activation(v), conjugate, lambda v: -activation(v))


_BCE, _MSE = F.binary_cross_entropy_with_logits, F.mse_loss
_POINTWISE: dict[str, _Kind] = {
    "hinge": _Kind(lambda v: F.relu(1 - v), lambda v: F.relu(1 + v), lambda v: -v),
    "logistic": _Kind(lambda v: F.softplus(-v), F.softplus, lambda v: F.softplus(-v)),
    # The same function as ``logistic``, computed as in mmagic's DCGAN and its GANLoss('vanilla').
    "vanilla": _Kind(_to_target(_BCE, 1.0), _to_target(_BCE, 0.0), _to_target(_BCE, 1.0)),
    "least_squares": _Kind(_to_target(_MSE, 1.0), _to_target(_MSE, 0.0), _to_target(_MSE, 1.0)),
    "wasserstein": _Kind(lambda v: -v, lambda v: v, lambda v: -v),
    "kullback_leibler": _f_divergence(lambda v: v, lambda v: torch.exp(v - 1)),
    "pearson": _f_divergence(lambda v: v, lambda v: v * v / 4 + v),
    "squared_hellinger": _f_divergence(lambda v: -torch.expm1(-v), torch.expm1),
}

#: Kinds supported by :func:`discriminator_loss` and :func:`generator_loss`.
KINDS: tuple[str, ...] = (*_POINTWISE, "kl")


def check_kind(kind: str) -> str:
    """Return ``kind`` if it is one of :data:`KINDS`, or raise ValueError."""
    return check_choice(kind, "kind", KINDS)


def check_fake_weight(fake_weight: float) -> float:
    """Return ``fake_weight`` as a float if it lies in (0, 1], or raise TypeError or ValueError."""
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
    """Compute the discriminator loss on real, generated and negative images, as named terms that are already weighted.

    For the hinge loss, the sum of the terms is ``mean relu(1 - D(x)) + fake_weight * mean relu(1 + D(G(z)))
    + (1 - fake_weight) * mean relu(1 + D(T(x)))``. Without negatives, both weights are 1 and the terms equal those of
    the plain GAN bit for bit. The same holds at ``fake_weight=1``, where the term of the negatives is a constant 0
    whatever their logits, so that a warm-up logs the same names as the training after it.

    Source: Sinha et al., ICLR 2021, section 3, https://arxiv.org/abs/2102.05113. For ``kind='kl'`` also Song and Ermon,
    "Bridging the Gap Between f-GANs and Wasserstein GANs", ICML 2020, https://arxiv.org/abs/1910.09779: the logit
    ``v`` of a generated image is replaced by ``r * v`` with the importance weight ``r = exp(v) / mean exp(v)``, through
    which no gradient flows. Negatives are part of the reweighted mixture, so the mean in the denominator is taken over
    the mixture. Sinha et al. normalize generated images and negatives separately, which reweights neither against the
    other.

    Args:
        real: Discriminator logits on real images.
        fake: Discriminator logits on generated images.
        negative: Discriminator logits on negatives, or None for the plain GAN. Defaults to None.
        kind: One of :data:`KINDS`. Defaults to ``'hinge'``.
        fake_weight: Share of the generated images in the mixture, in (0, 1]. A scalar tensor must lie below 1; it is
            not checked, since that would synchronize with the device. Defaults to 0.25.

    Shape:
        Any shape, such as ``(B,)``, ``(B, 1)`` or patches ``(B, 1, H, W)``; the three need not agree. float16 and
        bfloat16 are promoted to float32, since exponentials and means lose too much precision in them.

    Returns:
        ``loss_disc_real``, ``loss_disc_fake`` and, with negatives, ``loss_disc_negative``: scalars to be summed.

    Raises:
        ValueError: If ``kind`` is unknown, ``fake_weight`` is outside (0, 1], or a tensor of logits is empty.
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

    # "kl" is the hinge loss of reweighted logits.
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
    """Compute the generator loss that belongs to :func:`discriminator_loss`; it does not depend on the negatives.

    ``hinge``, ``wasserstein``: ``-mean v``; ``logistic``, ``vanilla``: the non-saturating ``mean softplus(-v)``;
    ``least_squares``: ``mean (v - 1)^2``; ``kl``: ``-mean r v`` with the weights ``r`` over the generated batch (those
    of the mixture differ by a common factor); the f-divergences: ``-mean g(v)``, with their output activation ``g``.

    Source: the authors' code does not scale it by ``fake_weight`` either; see :func:`discriminator_loss`.

    Args:
        fake: Discriminator logits on generated images.
        kind: One of :data:`KINDS`. Defaults to ``'hinge'``.

    Shape:
        Any shape; float16 and bfloat16 are promoted to float32.

    Returns:
        A scalar.

    Raises:
        ValueError: If ``kind`` is unknown, or there are no logits.
        TypeError: If the logits are not a floating-point tensor.

    Example:
        >>> generator_loss(torch.tensor([2.0, 0.0]), kind="hinge").item()
        -1.0
    """
    check_kind(kind)
    fake = _checked(fake, "fake")
    if kind == "kl":
        (fake,), kind = _kl_reweighted([fake], [1.0]), "hinge"
    if kind in ("hinge", "wasserstein"):
        return -fake.mean()  # negated last, which rounds as the hosts do
    return _POINTWISE[kind].generator(fake).mean()


def _checked(logits: Tensor, name: str) -> Tensor:
    logits = check_floating(logits, name)
    if logits.numel() == 0:
        raise ValueError(f"{name} must not be empty, but got shape {tuple(logits.shape)}")
    return logits


def _kl_reweighted(parts: list[Tensor], weights: list[float | Tensor]) -> list[Tensor]:
    """Multiply the logits ``v`` of each part of a mixture by ``exp(v) / mean exp(v)``, averaged over the mixture."""
    peak = torch.stack([part.detach().max() for part in parts]).max()  # subtracted so that exp does not overflow
    excess = [part.detach() - peak for part in parts]
    mean = sum(weight * part.exp().mean() for weight, part in zip(weights, excess))
    return [part * (above.exp() / mean) for part, above in zip(parts, excess)]
