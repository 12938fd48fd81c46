"""Losses against closed forms in float64, their gradients, and the hosts' own losses to the last bit."""

from __future__ import annotations

import math

import pytest
import torch
from tiny_devices import nothing_waits
from torch import Tensor

from nda_mm.losses import KINDS, discriminator_loss, generator_loss

WEIGHT = 0.3

# Written with `math` alone, one logit at a time: on real images, on fake ones, and the generator's.
LOG_SIGMOID = lambda v: -math.log(1 + math.exp(-v))  # noqa: E731
CLOSED_FORMS = {
    "hinge": (lambda v: max(0.0, 1 - v), lambda v: max(0.0, 1 + v), lambda v: -v),
    "logistic": (lambda v: -LOG_SIGMOID(v), lambda v: -LOG_SIGMOID(-v), lambda v: -LOG_SIGMOID(v)),
    "least_squares": (lambda v: (v - 1) ** 2, lambda v: v**2, lambda v: (v - 1) ** 2),
    "wasserstein": (lambda v: -v, lambda v: v, lambda v: -v),
    "kullback_leibler": (lambda v: -v, lambda v: math.exp(v - 1), lambda v: -v),
    "pearson": (lambda v: -v, lambda v: v * v / 4 + v, lambda v: -v),
    "squared_hellinger": (lambda v: math.exp(-v) - 1, lambda v: math.exp(v) - 1, lambda v: math.exp(-v) - 1),
}
CLOSED_FORMS["vanilla"] = CLOSED_FORMS["logistic"]
POINTWISE = [kind for kind in KINDS if kind != "kl"]


def logits(count: int, seed: int, scale: float = 2.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (scale * torch.randn(count, 1, generator=generator, dtype=torch.float64)).requires_grad_()


def batch() -> tuple[Tensor, Tensor, Tensor]:
    return logits(7, 0), logits(5, 1), logits(6, 2)


def mean_of(function, values: Tensor) -> float:
    return sum(function(value) for value in values.flatten().tolist()) / values.numel()


@pytest.mark.parametrize("kind", ["hinge", "kl"])
def test_a_weight_on_the_device_is_the_number_and_is_not_looked_at(kind):
    with nothing_waits("cpu"):
        found = discriminator_loss(*batch(), kind=kind, fake_weight=torch.tensor(WEIGHT, dtype=torch.float64))
    expected = discriminator_loss(*batch(), kind=kind, fake_weight=WEIGHT)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("kind", POINTWISE)
def test_terms_and_gradients_equal_the_closed_form(kind):
    def terms(real, fake, negative, generated):
        found = discriminator_loss(real, fake, negative, kind=kind, fake_weight=WEIGHT)
        assert list(found) == ["loss_disc_real", "loss_disc_fake", "loss_disc_negative"]
        return (*found.values(), generator_loss(generated, kind=kind))

    inputs = (*batch(), logits(9, 3))
    on_real, on_fake, on_generated = CLOSED_FORMS[kind]
    forms, weights = (on_real, on_fake, on_fake, on_generated), (1, WEIGHT, 1 - WEIGHT, 1)
    for term, values, function, weight in zip(terms(*inputs), inputs, forms, weights, strict=True):
        assert term.item() == pytest.approx(weight * mean_of(function, values), rel=1e-12, abs=1e-14)
    assert torch.autograd.gradcheck(terms, inputs)


def kl_weights(fake: list[float], negative: list[float], weight: float) -> tuple[list[float], list[float]]:
    """exp(v) over its mean in the mixture, written out."""
    mean = weight * sum(map(math.exp, fake)) / len(fake)
    if negative:
        mean += (1 - weight) * sum(map(math.exp, negative)) / len(negative)
    return [math.exp(v) / mean for v in fake], [math.exp(v) / mean for v in negative]


def test_kl_reweights_the_mixture():
    real, fake, negative = batch()
    terms = discriminator_loss(real, fake, negative, kind="kl", fake_weight=WEIGHT)
    weights = kl_weights(fake.flatten().tolist(), negative.flatten().tolist(), WEIGHT)
    expected_fake, expected_negative = (
        share * sum(max(0, 1 + r * v) for r, v in zip(own, values.flatten().tolist())) / len(values)
        for share, own, values in zip((WEIGHT, 1 - WEIGHT), weights, (fake, negative))
    )
    assert terms["loss_disc_real"].item() == pytest.approx(mean_of(CLOSED_FORMS["hinge"][0], real), rel=1e-12)
    assert terms["loss_disc_fake"].item() == pytest.approx(expected_fake, rel=1e-12)
    assert terms["loss_disc_negative"].item() == pytest.approx(expected_negative, rel=1e-12)

    generated = generator_loss(fake, kind="kl")
    alone, _ = kl_weights(fake.flatten().tolist(), [], 1.0)
    assert generated.item() == pytest.approx(
        -sum(r * v for r, v in zip(alone, fake.flatten().tolist())) / len(fake), rel=1e-12
    )


def test_kl_descends_the_donsker_varadhan_bound_where_no_hinge_is_active():
    """Gradient of -E_p[D] + log E_mixture[exp D], which autograd takes here from the formula itself."""
    values = [logits(count, seed, scale=0.2) for count, seed in ((7, 0), (5, 1), (6, 2))]
    assert all(value.abs().max() < 0.6 for value in values)
    sum(discriminator_loss(*values, kind="kl", fake_weight=WEIGHT).values()).backward()

    real, fake, negative = (value.detach().clone().requires_grad_() for value in values)
    mixture = WEIGHT * fake.exp().mean() + (1 - WEIGHT) * negative.exp().mean()
    (-real.mean() + mixture.log()).backward()
    for value, expected in zip(values, (real, fake, negative)):
        torch.testing.assert_close(value.grad, expected.grad, rtol=1e-12, atol=1e-15)


def test_kl_survives_large_logits():
    big = torch.tensor([500.0, -500.0, 400.0])
    terms = discriminator_loss(big, big, big, kind="kl")
    assert all(math.isfinite(term.item()) for term in terms.values())
    assert generator_loss(big, kind="kl").item() == pytest.approx(-500.0)  # all the weight sits on the first: r = 3


@pytest.mark.parametrize("kind", ["hinge", "kl"])
def test_without_negatives_or_at_weight_one_the_terms_are_the_plain_ones(kind):
    real, fake, _ = batch()
    negative = torch.tensor([math.inf, math.nan], requires_grad=True)  # of no weight, they cannot spoil the loss
    plain = discriminator_loss(real, fake, kind=kind, fake_weight=0.25)
    warm_up = discriminator_loss(real, fake, negative, kind=kind, fake_weight=1.0)
    assert set(plain) == {"loss_disc_real", "loss_disc_fake"}
    assert all(torch.equal(plain[name], warm_up[name]) for name in plain)
    assert warm_up["loss_disc_negative"].item() == 0.0
    sum(warm_up.values()).backward()
    assert negative.grad is None


def test_half_precision_is_promoted():
    real, fake, negative = (value.detach().bfloat16() for value in batch())
    terms = discriminator_loss(real, fake, negative, kind="kl")
    expected = discriminator_loss(real.float(), fake.float(), negative.float(), kind="kl")
    assert all(terms[name].dtype == torch.float32 and torch.equal(terms[name], expected[name]) for name in expected)
    assert torch.equal(generator_loss(fake.half()), generator_loss(fake.half().float()))


@pytest.mark.parametrize(
    ("loss", "gan_type", "kind"),
    [
        ("GANLoss", "hinge", "hinge"),
        ("GANLoss", "vanilla", "vanilla"),
        ("GANLoss", "lsgan", "least_squares"),
        ("GANLoss", "wgan", "wasserstein"),
        ("GANLossComps", "wgan-logistic-ns", "logistic"),  # StyleGAN2's
    ],
)
def test_bit_for_bit_mmagics_losses(loss, gan_type, kind):
    host = getattr(pytest.importorskip("mmagic.models.losses"), loss)(gan_type)
    real, fake, negative = (value.detach().float() for value in batch())
    terms = discriminator_loss(real, fake, negative, kind=kind, fake_weight=1.0)
    assert torch.equal(terms["loss_disc_real"], host(real, True, is_disc=True))
    assert torch.equal(terms["loss_disc_fake"], host(fake, False, is_disc=True))
    assert torch.equal(generator_loss(fake, kind=kind), host(fake, True, is_disc=False))


def test_bad_input_is_refused():
    real, fake, _ = batch()
    for wrong, error in ((0, ValueError), (1.0001, ValueError), (math.nan, ValueError), (True, TypeError)):
        with pytest.raises(error, match="fake_weight"):
            discriminator_loss(*batch(), fake_weight=wrong)
    with pytest.raises(ValueError, match="kind"):
        discriminator_loss(real, fake, kind="hing")
    with pytest.raises(ValueError, match="kind"):
        generator_loss(fake, kind="hing")
    with pytest.raises(ValueError, match="negative"):
        discriminator_loss(real, fake, torch.empty(0, 1))
    with pytest.raises(TypeError, match="real"):
        discriminator_loss(torch.ones(2, dtype=torch.int64), fake)
    with pytest.raises(TypeError, match="fake"):
        generator_loss([1.0])  # type: ignore[arg-type]
