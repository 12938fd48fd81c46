"""The theorem behind the losses: with negatives off the data's support, the best generator is still the data.

First the discriminator's optimum in closed form, on a plane with Gaussian modes and negatives in the gap; then the
generator's optimum, by trying every distribution on a few points; last a small GAN that is trained with and without.
"""

from __future__ import annotations

from itertools import pairwise, product

import pytest
import torch
from scipy.stats import wasserstein_distance
from torch import Tensor, nn
from torch.func import vmap

from nda_mm.losses import discriminator_loss, generator_loss

FAKE_WEIGHTS = [0.25, 1.0]
STRICTLY_CONVEX = ["logistic", "vanilla", "least_squares", "kullback_leibler", "pearson", "squared_hellinger"]
RANGE = 20.0  # of logits; an f-divergence's bound has its optimum at infinity where a density is zero


def expected_loss(kind: str, weight: float, logits: Tensor, p: Tensor, g: Tensor, n: Tensor) -> Tensor:
    """The discriminator's loss at every point, under densities of data, generator and negatives there."""

    def terms_at(logit: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        terms = discriminator_loss(logit, logit, logit, kind=kind, fake_weight=weight)
        return terms["loss_disc_real"], terms["loss_disc_fake"], terms["loss_disc_negative"]

    real, fake, negative = vmap(terms_at)(logits.flatten())
    return (p.flatten() * real + g.flatten() * fake + n.flatten() * negative).view_as(logits)


def best_logits(kind: str, weight: float, p: Tensor, g: Tensor, n: Tensor) -> Tensor:
    """The logits that minimise it, point by point (golden-section search: each loss is convex in the logit)."""
    low, high = torch.full_like(p, -RANGE), torch.full_like(p, RANGE)
    golden = (5**0.5 - 1) / 2
    for _ in range(80):
        left, right = high - golden * (high - low), low + golden * (high - low)
        falls = expected_loss(kind, weight, left, p, g, n) > expected_loss(kind, weight, right, p, g, n)
        low, high = torch.where(falls, left, low), torch.where(falls, high, right)
    return (low + high) / 2


def gaussians(points: Tensor, centers: list[tuple[float, float]], deviation: float) -> Tensor:
    distance = torch.cdist(points, torch.tensor(centers, dtype=points.dtype))
    return torch.exp(-0.5 * (distance / deviation) ** 2).mean(dim=1) / (2 * torch.pi * deviation**2)


CLOSED_FORMS = {
    "hinge": lambda p, q: torch.sign(p - q),
    "logistic": lambda p, q: torch.log(p / q),
    "vanilla": lambda p, q: torch.log(p / q),
    "least_squares": lambda p, q: p / (p + q),
    "kullback_leibler": lambda p, q: 1 + torch.log(p / q),
    "pearson": lambda p, q: 2 * (p / q - 1),
    "squared_hellinger": lambda p, q: torch.log(p / q) / 2,
}


@pytest.mark.parametrize("weight", FAKE_WEIGHTS)
@pytest.mark.parametrize("kind", CLOSED_FORMS)
def test_optimal_discriminator_has_its_closed_form(kind, weight):
    """It compares the data with the mixture: D* is a function of p / (weight * g + (1 - weight) * n)."""
    axis = torch.linspace(-2, 2, 21, dtype=torch.float64)
    points = torch.cartesian_prod(axis, axis)
    p = gaussians(points, [(-1, 0), (1, 0)], 0.5)
    g = gaussians(points, [(-0.8, 0.2), (0.9, -0.1), (0, 0)], 0.6)
    n = gaussians(points, [(0, 0)], 0.5)
    mixture = weight * g + (1 - weight) * n
    expected = CLOSED_FORMS[kind](p, mixture)
    inside = expected.abs() < RANGE  # pearson's logit is a density ratio, which grows without bound
    assert inside.float().mean() > 0.9
    found = best_logits(kind, weight, p, g, n)
    torch.testing.assert_close(found[inside], expected[inside], rtol=1e-5, atol=1e-5)


# Six points of the plane: two modes of unequal mass, a mode in two halves, two gaps with negatives, one empty place.
EIGHTHS = 8
DATA = torch.tensor([4, 2, 2, 0, 0, 0], dtype=torch.float64) / EIGHTHS
NEGATIVES = torch.tensor([0, 0, 0, 5, 3, 0], dtype=torch.float64) / EIGHTHS
EVERY_GENERATOR = (
    torch.tensor(
        [counts for counts in product(range(EIGHTHS + 1), repeat=6) if sum(counts) == EIGHTHS], dtype=torch.float64
    )
    / EIGHTHS
)


def value_of(kind: str, weight: float) -> Tensor:
    """For every generator: how well the best discriminator does, which the generator wants to be small."""
    p, n = DATA.expand_as(EVERY_GENERATOR), NEGATIVES.expand_as(EVERY_GENERATOR)
    logits = best_logits(kind, weight, p, EVERY_GENERATOR, n)
    return -expected_loss(kind, weight, logits, p, EVERY_GENERATOR, n).sum(dim=1)


@pytest.mark.parametrize("weight", FAKE_WEIGHTS)
@pytest.mark.parametrize("kind", STRICTLY_CONVEX)
def test_the_data_is_the_only_best_generator(kind, weight):
    value = value_of(kind, weight)
    best = value.argmin()
    assert torch.equal(EVERY_GENERATOR[best], DATA)
    others = value[torch.arange(len(value)) != best]
    assert (others - value[best]).min() > 1e-3


@pytest.mark.parametrize("weight", FAKE_WEIGHTS)
def test_with_the_hinge_the_data_is_one_of_the_best_generators(weight):
    """Total variation is flat: any generator below data / weight is as good, and no other."""
    value = value_of("hinge", weight)
    best = (value < value.min() + 1e-6).nonzero().flatten()
    expected = (weight * EVERY_GENERATOR <= DATA + 1e-12).all(dim=1).nonzero().flatten()
    assert torch.equal(best, expected)
    assert (EVERY_GENERATOR[best] == DATA).all(dim=1).any()
    assert (EVERY_GENERATOR[best][:, 3:] == 0).all()  # never on a negative, nor on the empty place
    assert (len(best) == 1) == (weight == 1.0)


def test_with_wasserstein_the_data_need_not_be_the_best_generator():
    """Points on a line, negatives right of the data: they stand in for the data's right part, at a lower cost."""
    places, p, n = [0, 1, 2, 3], [0.5, 0.5, 0, 0], [0, 0, 1.0, 0]

    def cost(g: list[float]) -> float:
        return wasserstein_distance(places, places, p, [0.5 * a + 0.5 * b for a, b in zip(g, n)])

    assert cost([1.0, 0, 0, 0]) == pytest.approx(0.5)
    assert cost(p) == pytest.approx(0.75)


def test_overlapping_negatives_move_the_optimum():
    """The condition matters: negatives on the data's own support cost the generator that part of the data."""
    weight, p = 0.5, torch.tensor([0.5, 0.5], dtype=torch.float64)
    n = torch.tensor([1.0, 0.0], dtype=torch.float64)
    generators = torch.stack([torch.linspace(0, 1, 21), 1 - torch.linspace(0, 1, 21)], dim=1).double()
    logits = best_logits("logistic", weight, p.expand_as(generators), generators, n.expand_as(generators))
    value = -expected_loss("logistic", weight, logits, p.expand_as(generators), generators, n.expand_as(generators))
    assert torch.equal(generators[value.sum(dim=1).argmin()], torch.tensor([0.0, 1.0], dtype=torch.float64))


class Networks(nn.Module):
    """Small networks side by side, one for each run; the runs of one seed start alike."""

    def __init__(self, seeds: int, runs: int, widths: list[int], generator: torch.Generator) -> None:
        super().__init__()
        self.weights = nn.ParameterList()
        self.biases = nn.ParameterList()
        for inputs, outputs in pairwise(widths):
            weight = torch.randn(seeds, inputs, outputs, generator=generator) * (2 / inputs) ** 0.5
            self.weights.append(nn.Parameter(weight.repeat(runs, 1, 1)))
            self.biases.append(nn.Parameter(torch.zeros(runs * seeds, 1, outputs)))

    def forward(self, x: Tensor) -> Tensor:
        for index, (weight, bias) in enumerate(zip(self.weights, self.biases)):
            x = torch.baddbmm(bias, x, weight)
            if index < len(self.weights) - 1:
                x = nn.functional.leaky_relu(x, 0.2)
        return x


def trained_samples(seeds: int, steps: int, batch: int = 64) -> tuple[Tensor, Tensor]:
    """Samples of GANs trained without and with negatives: same starts, same data, same noise, same budget."""
    draw = torch.Generator().manual_seed(0)
    generators = Networks(seeds, 2, [4, 32, 32, 2], draw)
    discriminators = Networks(seeds, 2, [2, 32, 32, 1], draw)
    settings = dict(lr=1e-3, betas=(0.5, 0.9))
    generator_steps = torch.optim.Adam(generators.parameters(), **settings)
    discriminator_steps = torch.optim.Adam(discriminators.parameters(), **settings)

    def noise(count: int) -> Tensor:
        return torch.randn(seeds, count, 4, generator=draw).repeat(2, 1, 1)

    for _ in range(steps):
        left_or_right = 2.0 * torch.randint(2, (seeds, batch, 1), generator=draw) - 1
        deviation = 0.2 * torch.randn(seeds, batch, 2, generator=draw)
        real = torch.cat([left_or_right, torch.zeros_like(left_or_right)], dim=2) + deviation
        across = 0.8 * torch.rand(seeds, batch, 1, generator=draw) - 0.4
        negative = torch.cat([across, 0.2 * torch.randn(seeds, batch, 1, generator=draw)], dim=2)
        with torch.no_grad():
            fake = generators(noise(batch))
        scores = discriminators(torch.cat([real.repeat(2, 1, 1), fake, negative.repeat(2, 1, 1)], dim=1))
        on_real, on_fake, on_negative = scores.split(batch, dim=1)
        loss = torch.zeros(())
        for run in range(2 * seeds):
            negatives = on_negative[run] if run >= seeds else None
            terms = discriminator_loss(on_real[run], on_fake[run], negatives, kind="logistic", fake_weight=0.5)
            loss = loss + sum(terms.values())
        discriminator_steps.zero_grad()
        loss.backward()
        discriminator_steps.step()

        on_fake = discriminators(generators(noise(batch)))
        loss = sum(generator_loss(on_fake[run], kind="logistic") for run in range(2 * seeds))
        generator_steps.zero_grad()
        loss.backward()
        generator_steps.step()
    with torch.no_grad():
        plain, with_negatives = generators(noise(4000)).split(seeds)
    return plain, with_negatives


@pytest.mark.slow
def test_a_trained_gan_leaves_the_gap_sooner_with_negatives():
    """Two modes at x = -1 and 1, negatives in between; after the same 500 steps, over 8 seeds, paired.

    An aid on the way, not a better end: trained until both have converged, the two leave equally little in the gap.
    """
    seeds = 8
    plain, with_negatives = trained_samples(seeds, steps=500)

    def gap(samples: Tensor) -> Tensor:
        return (samples[..., 0].abs() < 0.4).double().mean(dim=1)

    difference = gap(plain) - gap(with_negatives)
    standard_error = difference.std() / seeds**0.5
    assert difference.mean() > 0.02
    assert difference.mean() > 2 * standard_error
    for side in (-1, 1):  # and not by giving up a mode
        assert ((with_negatives[..., 0] * side > 0.4).double().mean(dim=1) > 0.1).all()
