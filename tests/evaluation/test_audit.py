"""Audits of cases of which the truth is known; the features and the classifier that they use."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from nda_mm import functional as F
from nda_mm.datasets import Digits
from nda_mm.evaluation.audit import Auroc, NegativeAudit, NegativeReport, Rate
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


def test_rearranged_texture_is_in_distribution() -> None:
    report = NegativeAudit(noise()).measure("stitch", F.stitch)
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


@pytest.mark.parametrize(("share", "tint"), [(0.044, 0.0), (0.3, 2 / 127.5)])
def test_what_is_kept_or_nearly_kept_is_counted_by_its_share(digits: NegativeAudit, share: float, tint: float) -> None:
    def leaky(x: Tensor, *, generator: torch.Generator) -> Tensor:
        kept = torch.rand(len(x), generator=generator) < share
        return torch.where(kept[:, None, None, None], (x + tint).clamp(-1, 1), F.jigsaw(x, grid=4, generator=generator))

    report = digits.measure("leaky", leaky)
    for rate in (report.near_pixels, report.near_features):
        assert rate.interval[0] < share < rate.interval[1] < rate.interval[0] + 0.07
    assert report.verdict == "leaks"
    if tint:
        assert report.exact_source.count == 0
    else:
        assert report.near_pixels == report.near_features == report.exact_source
        # The leaks are what the list of offenders shows first.
        worst = report.offenders[: min(16, report.exact_source.count)]
        assert torch.equal(digits.negatives(leaky)[worst], digits.images[worst])


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
    """Against all pairs of images, in pixels."""
    images = noise(80, side=8)
    images[40:] = (images[:40].float() * 0.98).byte()  # close pairs, so that radii differ
    audit = NegativeAudit(images)

    def perturbed(x: Tensor, *, generator: torch.Generator) -> Tensor:
        strength = 0.1 * torch.rand(len(x), 1, 1, 1, generator=generator)
        return (x + strength * torch.randn(x.shape, generator=generator)).clamp(-1, 1)

    made, reals = (images.double().flatten(1) / 127.5 - 1 for images in (audit.negatives(perturbed), audit.images))
    nearest = (made[:, None] - reals).norm(dim=2).min(dim=1)
    between = (reals[:, None] - reals).norm(dim=2).fill_diagonal_(math.inf)
    radius = 0.1 * between.min(dim=1).values.clamp_min(10 * math.sqrt(3 * 8 * 8) / 127.5)
    expected = int((nearest.values < radius[nearest.indices]).sum())
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
    given = dict(exact=0, near=0, nearest=0.5, classifier=0.5) | measured
    exact, near = Rate(given["exact"], 1000), Rate(given["near"], 1000)
    scores = (Auroc(value, 1000) for value in (1.0, given["nearest"], given["classifier"]))
    assert NegativeReport("x", exact, Rate(0, 1000), near, exact, *scores, Rate(10, 1000)).verdict == verdict


def test_images_that_cannot_be_audited_are_refused() -> None:
    with pytest.raises(TypeError, match="images"):
        NegativeAudit(torch.zeros(100, 3, 16, 16))
    with pytest.raises(ValueError, match="images"):
        NegativeAudit(torch.zeros(63, 3, 16, 16).byte())


def test_features_show_the_direction_of_a_slope_and_the_place_of_a_seam() -> None:
    histograms, profiles = slice(192, 320), slice(320, 382)  # of 32x32 RGB
    steps = torch.arange(32) / 64
    falling_and_rising = steps[:, None] - steps  # at three eighths of a turn
    cells = hog_features(falling_and_rising.expand(1, 3, 32, 32))[0, histograms].reshape(8, 16)
    expected = torch.zeros(8, 16)
    expected[3] = 2 * (1 / 16) ** 0.5 / 128**0.5
    torch.testing.assert_close(cells, expected, atol=2e-3, rtol=0)

    image = torch.zeros(1, 3, 32, 32)
    image[..., 16:] = 1
    profile = hog_features(image)[0, profiles]
    assert profile.nonzero().flatten().tolist() == [15]  # the boundary between columns 15 and 16
    assert profile[15].item() == pytest.approx(4 / 62**0.5)


def test_auroc_interval_holds_its_level() -> None:
    truth = torch.distributions.Normal(0, 2**0.5).cdf(torch.tensor(1.0)).item()
    hits = 0
    for seed in range(200):
        below, above = torch.randn(2, 70, generator=rng(seed)).unbind()
        low, high = Auroc(auroc(below, above + 1), 70).interval
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
