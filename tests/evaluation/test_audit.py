"""Audits of cases of which the truth is known; the features and the classifier that they use."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from nda_mm import functional as F
from nda_mm.datasets import Digits
from nda_mm.evaluation.audit import Auroc, NegativeAudit, NegativeReport, Rate, auroc_interval
from nda_mm.evaluation.audit_features import classifier_scores, hog_features
from nda_mm.evaluation.detection import auroc


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def digits() -> NegativeAudit:
    images = torch.from_numpy(Digits(split="all", size=16).images).permute(0, 3, 1, 2).contiguous()
    return NegativeAudit(images)


def noise(count: int = 600, side: int = 16) -> Tensor:
    """The plainest texture: every pixel on its own, so any rearrangement is as good an image as the original."""
    return torch.randint(0, 256, (count, 3, side, side), dtype=torch.uint8, generator=rng())


def flip(x: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
    return x.flip(-1)


def test_jigsaw_of_digits_is_out_of_distribution(digits: NegativeAudit) -> None:
    report = digits.measure("jigsaw", F.jigsaw)
    assert report.verdict == "safe"
    assert report.classifier.value > 0.99
    assert report.nearest_pixels.value > 0.95
    assert report.exact_source.count == report.exact_real.count == report.near_pixels.count == 0


@pytest.mark.parametrize("name", ["jigsaw", "stitch"])
def test_rearranged_texture_is_in_distribution(name: str) -> None:
    report = NegativeAudit(noise()).measure(name, getattr(F, name))
    assert report.verdict == "in distribution"
    low, high = report.nearest_pixels.interval
    assert low - 0.02 <= 0.5 <= high + 0.02
    assert abs(report.classifier.value - 0.5) < 0.12
    assert report.exact_source.count == 0


def test_flip_of_symmetric_images_leaks_though_it_looks_like_data() -> None:
    half = noise()[..., :8]
    report = NegativeAudit(torch.cat([half, half.flip(-1)], dim=-1)).measure("flip", flip)
    assert report.verdict == "leaks"
    assert (report.exact_source.value, report.exact_real.value) == (1.0, 0.0)
    assert (report.near_pixels.value, report.near_features.value) == (1.0, 1.0)
    scores = report.classifier, report.nearest_pixels, report.nearest_features
    assert [score.value for score in scores] == pytest.approx([0.5] * 3)
    images = noise(200)
    closed = NegativeAudit(torch.cat([images, images.flip(-1)])).measure("flip", flip)
    assert (closed.verdict, closed.exact_source.value, closed.exact_real.value) == ("leaks", 0.0, 1.0)


def test_jigsaw_that_keeps_4_4_percent_is_measured_so(digits: NegativeAudit) -> None:
    def leaky(x: Tensor, *, generator: torch.Generator) -> Tensor:
        kept = torch.rand(len(x), generator=generator) < 0.044
        return torch.where(kept[:, None, None, None], x, F.jigsaw(x, generator=generator))

    report = digits.measure("leaky", leaky)
    low, high = report.exact_source.interval
    assert low < 0.044 < high
    assert high - low < 0.04
    assert report.verdict == "leaks"
    assert report.near_pixels == report.near_features == report.exact_source
    # The leaks are what the list of offenders shows first.
    made = digits.negatives(leaky)
    worst = report.offenders[: min(16, report.exact_source.count)]
    assert torch.equal(made[worst], digits.images[worst])


def test_near_duplicates_are_found_and_counted_by_their_share(digits: NegativeAudit) -> None:
    def tinted(x: Tensor, *, generator: torch.Generator) -> Tensor:
        kept = torch.rand(len(x), generator=generator) < 0.3
        return torch.where(
            kept[:, None, None, None], (x + 2 / 127.5).clamp(-1, 1), F.jigsaw(x, grid=4, generator=generator)
        )

    report = digits.measure("tinted", tinted)
    assert report.exact_source.count == 0
    for rate in (report.near_pixels, report.near_features):
        assert rate.interval[0] < 0.3 < rate.interval[1]
    assert report.verdict == "leaks"


def test_unseen_reals_are_in_distribution_but_no_duplicates(digits: NegativeAudit) -> None:
    """An audit must not cry leak because data resemble data."""
    seen, unseen = digits.images[:1100], list(digits.images[1100:])

    def others(x: Tensor, *, generator: torch.Generator) -> Tensor:
        return torch.stack([unseen.pop() for _ in x]).float() / 127.5 - 1

    report = NegativeAudit(seen).measure("unseen reals", others)
    assert report.verdict == "in distribution"
    assert report.exact_real.count == report.near_pixels.count == report.near_features.count == 0
    assert abs(report.classifier.value - 0.5) < 0.1
    assert abs(report.nearest_pixels.value - 0.5) < 0.05


def test_nearness_is_that_of_the_definition() -> None:
    """Against a plain double loop over the images, in pixels."""
    images = noise(80, side=8)
    images[40:] = (images[:40].float() * 0.98).byte()  # close pairs, so that radii differ
    audit = NegativeAudit(images)

    def perturbed(x: Tensor, *, generator: torch.Generator) -> Tensor:
        strength = 0.1 * torch.rand(len(x), 1, 1, 1, generator=generator)
        return (x + strength * torch.randn(x.shape, generator=generator)).clamp(-1, 1)

    made = audit.negatives(perturbed).double() / 127.5 - 1
    reals = audit.images.double() / 127.5 - 1
    expected = 0
    for negative in made:
        distances = [(negative - real).norm().item() for real in reals]
        nearest = min(range(len(reals)), key=distances.__getitem__)
        spacing = min((reals[nearest] - real).norm().item() for i, real in enumerate(reals) if i != nearest)
        expected += distances[nearest] / max(spacing, 10 * math.sqrt(3 * 8 * 8) / 127.5) < 0.1
    assert audit.measure("perturbed", perturbed).near_pixels.count == expected
    assert 0 < expected < len(made)


@pytest.mark.slow
def test_same_seed_same_report_and_images_are_left_alone(digits: NegativeAudit) -> None:
    images = digits.images.clone()
    first = NegativeAudit(images, seed=3).measure("stitch", F.stitch).as_dict()
    second = NegativeAudit(images, seed=3).measure("stitch", F.stitch).as_dict()
    assert first == second
    assert NegativeAudit(images, seed=4).measure("stitch", F.stitch).as_dict() != first
    assert torch.equal(images, digits.images)


def make_report(
    *, exact: int = 0, near: int = 0, nearest: float = 0.5, classifier: float = 0.5, total: int = 1000
) -> NegativeReport:
    return NegativeReport(
        name="x",
        exact_source=Rate(exact, total),
        exact_real=Rate(0, total),
        near_pixels=Rate(near, total),
        near_features=Rate(exact, total),
        nearest_pixels=Auroc(1.0, total),
        nearest_features=Auroc(nearest, total),
        classifier=Auroc(classifier, total),
        passing=Rate(10, total),
    )


@pytest.mark.parametrize(
    ("measured", "verdict"),
    [
        (dict(nearest=0.99), "safe"),
        (dict(classifier=0.952), "doubtful"),  # not beyond doubt
        (dict(classifier=0.6), "in distribution"),
        (dict(classifier=0.99, exact=1), "leaks"),
        (dict(classifier=0.99, near=15), "safe"),  # 1.5 %, within the interval of 1 %
        (dict(classifier=0.99, near=30), "leaks"),
        (dict(classifier=0.5, exact=990), "leaks"),
        (dict(classifier=0.6, exact=100), "in distribution"),
    ],
)
def test_verdicts(measured: dict, verdict: str) -> None:
    assert make_report(**measured).verdict == verdict


@pytest.mark.parametrize(
    ("images", "error"),
    [(torch.zeros(100, 3, 16, 16), TypeError), (torch.zeros(63, 3, 16, 16).byte(), ValueError)],
)
def test_images_that_cannot_be_audited_are_refused(images: Tensor, error: type) -> None:
    with pytest.raises(error, match="images"):
        NegativeAudit(images)


# Where the groups stand for 32x32 RGB.
HISTOGRAMS, PROFILES = slice(192, 320), slice(320, 382)


def ramp(angle: float, side: int = 32) -> torch.Tensor:
    """Brightness that rises in one direction."""
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    plane = (x * math.cos(angle) + y * math.sin(angle)) / (2 * side)
    return plane.expand(1, 3, side, side)


@pytest.mark.parametrize("eighth", [0, 3])
def test_direction_of_a_slope_is_one_orientation(eighth: int) -> None:
    cells = hog_features(ramp(eighth * math.pi / 4))[0, HISTOGRAMS].reshape(8, 16)
    expected = torch.zeros(8, 16)
    expected[eighth] = 2 * (1 / 16) ** 0.5 / 128**0.5
    torch.testing.assert_close(cells, expected, atol=2e-3, rtol=0)


def test_seam_stands_out_at_its_place() -> None:
    image = torch.zeros(1, 3, 32, 32)
    image[..., 16:] = 1
    profile = hog_features(image)[0, PROFILES]
    assert profile.nonzero().flatten().tolist() == [15]  # the boundary between columns 15 and 16
    assert profile[15].item() == pytest.approx(4 / 62**0.5)


def test_auroc_interval_holds_its_level() -> None:
    truth = torch.distributions.Normal(0, 2**0.5).cdf(torch.tensor(1.0)).item()
    hits = 0
    for seed in range(200):
        generator = rng(seed)
        above = torch.randn(80, generator=generator) + 1
        value = auroc(torch.randn(60, generator=generator), above)
        low, high = auroc_interval(value, 80, 60)
        hits += low <= truth <= high
    assert 0.9 <= hits / 200 <= 0.99


def test_classifier_finds_differences_that_are_not_linear() -> None:
    reals, negatives = torch.randn(800, 4, generator=rng()), 4 * torch.randn(800, 4, generator=rng(1))
    real_scores, scores = classifier_scores(reals, negatives, generator=rng())
    assert auroc(real_scores, scores) > 0.97


def test_an_image_does_not_help_to_judge_its_own_negative() -> None:
    """Equal rows get equal scores, which only holds out of fold if both are in one fold."""
    reals = torch.randn(100, 5, generator=rng())
    real_scores, scores = classifier_scores(reals, reals.clone(), generator=rng())
    torch.testing.assert_close(real_scores, scores)
