"""How often is a negative no negative? A measurement on one's own images.

The theory (Sinha et al., Negative Data Augmentation, ICLR 2021, https://arxiv.org/abs/2102.05113) keeps the data as the
optimum of the generator only if negatives and data have disjoint supports. A negative that is a real image, or could
well be one, tells the discriminator that the data are fake: a jigsaw of a texture is a texture, the mirror image of a
symmetric object is the object, a periodic image shifted by its period is itself.

Supports cannot be observed in a finite sample; two consequences can.

*Duplicates.* No negative may be a real image, its source or another. Exact: equal at 8 bits, at full resolution. Near:
inside the ball around a real image whose radius is a tenth of the distance from that image to its nearest other real
image (or one gray level, if that is more). So the scale is that of the data, and no real image is that near another.

*Distinguishability.* With disjoint supports a perfect discriminator distinguishes negatives from data it has not seen:
AUROC 1. With one distribution for both none does: 0.5. Two instruments are used: the distance to the nearest of a
reference half of the reals, for negatives and for the held-out reals they were made of; and a small classifier, scored
out of fold. Both are lower bounds, so a high AUROC shows a negative to be one, while a low AUROC shows only that these
instruments see no difference.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from scipy.stats import binomtest
from torch import Tensor

from .audit_features import check_images, classifier_scores, hog_features, small_pixels
from .detection import auroc
from .nearest import nearest_neighbors

#: Radius within which a negative is a near duplicate, as a share of the distance between neighboring reals.
NEAR = 0.1
#: Share of near duplicates that a verdict tolerates.
TOLERANCE = 0.01
#: AUROC from which on negatives are shown to be out of distribution, and below which no difference is seen.
OUT_OF_DISTRIBUTION = 0.95
IN_DISTRIBUTION = 0.65
#: From the best to the worst.
VERDICTS = ("safe", "doubtful", "leaks", "in distribution")

_BATCH = 64  # negatives that are made at a time
_OFFENDERS = 16  # the most suspicious samples that a report lists

#: A registered negative, or a function of a batch and, by keyword, ``generator``.
NegativeFunction = Callable[..., Tensor]


class NegativeAudit:
    """One set of real images, against which any number of transforms are measured.

    Half of the images, at most ``samples``, are the sources of negatives (and the partners, where a transform needs
    some) and at the same time the held-out reals; the others are the reference. Duplicates are sought among all.

    Args:
        images: Real images. uint8. Shape: (N, C, H, W), N at least 64, C 1 or 3, sides at least 8.
        samples: Highest number of negatives made of each transform.
        features: Maps images in [-1, 1], (N, C, H, W), to features (N, D); a network in eval mode will do. Default:
            :func:`~nda_mm.evaluation.audit_features.hog_features`.
        seed: Of the choice of sources, of the negatives and of the classifier.

    Raises:
        TypeError: If the images are not uint8.
        ValueError: If they are too few or too small.

    Example:
        >>> from nda_mm import functional as F
        >>> stripes = torch.randint(0, 256, (200, 1, 16, 1), dtype=torch.uint8).expand(200, 3, 16, 16)
        >>> audit = NegativeAudit(stripes)
        >>> audit.measure("flip", lambda x, *, generator=None: x.flip(-1)).exact_source.value
        1.0
        >>> low, high = audit.measure("jigsaw", F.jigsaw).exact_source.interval
        >>> low < 3 / 23 < high  # three of the permutations exchange left and right only
        True
    """

    def __init__(
        self,
        images: Tensor,
        *,
        samples: int = 2000,
        features: Callable[[Tensor], Tensor] | None = None,
        seed: int = 0,
    ) -> None:
        if images.dtype != torch.uint8:
            raise TypeError(f"images must be uint8, but got {images.dtype}")
        check_images(images)
        if min(samples, len(images) // 2) < 32:
            raise ValueError(f"an audit needs 64 images and 32 samples, but got {len(images)} and {samples}")
        generator = torch.Generator().manual_seed(seed)
        self.seed = seed
        self.features = features or hog_features
        self.count = min(samples, len(images) // 2)
        # Sources first, then references.
        self.images = images[torch.randperm(len(images), generator=generator)]
        self._digests = {_digest(image) for image in self.images}
        self._pixels = self._in_batches(small_pixels, self.images)
        self._features = self._in_batches(self.features, self.images)
        self._held_out = tuple(
            nearest_neighbors(real[: self.count], real[self.count :])[0] for real in (self._pixels, self._features)
        )

    def negatives(self, negative: NegativeFunction) -> Tensor:
        """Negatives of the sources in their order, at 8 bits, made in batches of 64 of images in [-1, 1]."""
        generator = torch.Generator().manual_seed(self.seed + 1)
        made = []
        # A last batch of one has no partner for those that need one.
        for chunk in self.images[: self.count].tensor_split(max(1, self.count // _BATCH)):
            x = chunk.float() / 127.5 - 1
            made.append(((negative(x, generator=generator) + 1) * 127.5).round().clamp(0, 255).byte())
        return torch.cat(made)

    def measure(self, name: str, negative: NegativeFunction) -> NegativeReport:
        """Make negatives and measure them.

        Args:
            name: For the report.
            negative: The transform.

        Raises:
            ValueError: If it changes the shape of images.
        """
        made, count = self.negatives(negative), self.count
        if made.shape != self.images[:count].shape:
            raise ValueError(f"{name} changes the shape of images from {self.images.shape[1:]} to {made.shape[1:]}")
        # Exact duplicates: of the source, and of any real image.
        same = (made == self.images[:count]).flatten(1).all(dim=1)
        known = torch.tensor([_digest(image) in self._digests for image in made])
        # Near duplicates and distances, in pixels and in features.
        near, distances = [], []
        spaces = ((self._pixels, small_pixels, 1 / 127.5), (self._features, self.features, 0.0))
        for real, embed, floor in spaces:
            points = self._in_batches(embed, made)
            near.append(_near_ratio(points, real, floor).where(~known, 0.0))
            distances.append(nearest_neighbors(points, real[count:])[0])
        # The classifier sees the features, and the distances in both spaces.
        generator = torch.Generator().manual_seed(self.seed + 2)
        real_scores, scores = classifier_scores(
            torch.cat([self._features[:count], torch.stack(self._held_out, dim=1)], dim=1),
            torch.cat([points, torch.stack(distances, dim=1)], dim=1),
            generator=generator,
        )
        # Duplicates first, by how near they are; then what looks most real to the classifier.
        nearness = torch.minimum(*near)
        suspicion = torch.where(nearness < NEAR, nearness - NEAR - 1e3, scores.to(nearness))
        return NegativeReport(
            name=name,
            exact_source=Rate(int(same.sum()), count),
            exact_real=Rate(int((known & ~same).sum()), count),
            near_pixels=Rate(int((near[0] < NEAR).sum()), count),
            near_features=Rate(int((near[1] < NEAR).sum()), count),
            nearest_pixels=Auroc(auroc(self._held_out[0], distances[0]), count),
            nearest_features=Auroc(auroc(self._held_out[1], distances[1]), count),
            classifier=Auroc(auroc(real_scores, scores), count),
            passing=Rate(int((scores <= real_scores.quantile(0.95)).sum()), count),
            offenders=suspicion.argsort()[:_OFFENDERS].tolist(),
        )

    def nearest_real(self, images: Tensor) -> Tensor:
        """The real image nearest to each, in features; to show with an offender."""
        return self.images[nearest_neighbors(self._in_batches(self.features, images), self._features)[1]]

    def _in_batches(self, embed: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
        with torch.no_grad():
            return torch.cat([embed(chunk.float() / 127.5 - 1).flatten(1).float() for chunk in images.split(512)])


def _near_ratio(points: Tensor, real: Tensor, floor: float) -> Tensor:
    """Distance to the nearest real over that real's distance to its nearest other."""
    distance, index = nearest_neighbors(points, real)
    found, place = index.unique(return_inverse=True)
    spacing = nearest_neighbors(real[found], real, found)[0][place]
    # Root mean square over the pixels: `floor` is a gray level in every value.
    return distance / spacing.clamp_min(floor * real.shape[1] ** 0.5 / NEAR + 1e-12)


def _digest(image: Tensor) -> bytes:
    """Stands for an image when equal ones are sought; whole images would be held twice."""
    return hashlib.blake2b(image.numpy().tobytes(), digest_size=16).digest()


@dataclass(frozen=True)
class Rate:
    """A share with its 95 % interval, Wilson's, which has a width where counts are 0."""

    count: int
    total: int

    @property
    def value(self) -> float:
        return self.count / self.total

    @property
    def interval(self) -> tuple[float, float]:
        ends = binomtest(self.count, self.total).proportion_ci(0.95, method="wilson")
        return float(ends.low), float(ends.high)


@dataclass(frozen=True)
class Auroc:
    """How well one instrument separates negatives from as many held-out reals, with its 95 % interval; 0.5 is chance.

    Source: J. A. Hanley, B. J. McNeil, The meaning and use of the area under a ROC curve, Radiology 143, 1982.

    Example:
        >>> low, high = Auroc(0.5, 500).interval
        >>> round(low, 3), round(high, 3)
        (0.464, 0.536)
    """

    value: float
    total: int

    @property
    def interval(self) -> tuple[float, float]:
        value, others = self.value, self.total - 1
        first, second = value / (2 - value), 2 * value**2 / (1 + value)
        variance = value * (1 - value) + others * (first - value**2) + others * (second - value**2)
        half = 1.96 * math.sqrt(max(variance, 0.0)) / self.total
        return max(0.0, value - half), min(1.0, value + half)


@dataclass
class NegativeReport:
    """What :meth:`NegativeAudit.measure` found for one transform.

    Attributes:
        name: Of the transform.
        exact_source: Negatives equal to the image they were made of.
        exact_real: Negatives equal to any other real image.
        near_pixels: Negatives that nearly are a real image (their source or another), in pixels; includes exact ones.
        near_features: The same in the feature space.
        nearest_pixels: AUROC of the distance to the nearest reference image, in pixels. Below 0.5: negatives lie nearer
            to the data than data do, as blends do in pixels; that is no sign of being in distribution.
        nearest_features: The same in the feature space.
        classifier: AUROC of the classifier, out of fold.
        passing: Negatives that the classifier would let pass for real where it keeps 95 % of the reals.
        offenders: Indices of the most suspicious samples, the worst first.
    """

    name: str
    exact_source: Rate
    exact_real: Rate
    near_pixels: Rate
    near_features: Rate
    nearest_pixels: Auroc
    nearest_features: Auroc
    classifier: Auroc
    passing: Rate
    offenders: list[int] = field(default_factory=list)

    @property
    def separability(self) -> Auroc:
        """The better of the two instruments that the verdict trusts; pixel distances mislead for blends."""
        return max(self.nearest_features, self.classifier, key=lambda score: score.value)

    @property
    def verdict(self) -> str:
        """In this order:

        'in distribution': negatives hardly differ from data; the theory does not hold.
        'leaks': they differ from data on the whole, but some are real images: any exact duplicate, or significantly
        more near ones than ``TOLERANCE``.
        'doubtful': some differences, too few to call the supports disjoint.
        'safe': no duplicates, and nearly always distinguished from data.
        """
        if self.separability.value < IN_DISTRIBUTION and not self._mostly_duplicates():
            return "in distribution"
        near = max(self.near_pixels.interval[0], self.near_features.interval[0])
        if self.exact_source.count or self.exact_real.count or near > TOLERANCE:
            return "leaks"
        return "safe" if self.separability.interval[0] >= OUT_OF_DISTRIBUTION else "doubtful"

    def _mostly_duplicates(self) -> bool:
        exact = self.exact_source.count + self.exact_real.count
        return max(exact, self.near_pixels.count, self.near_features.count) > self.exact_source.total / 2

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        content = asdict(self)
        for name, found in vars(self).items():
            if isinstance(found, (Rate, Auroc)):
                content[name] |= {"value": found.value, "interval": list(found.interval)}
        return {**content, "verdict": self.verdict}


def format_reports(reports: list[NegativeReport]) -> str:
    """The reports as a table for the terminal, rates in percent with their 95 % intervals."""

    def percent(rate: Rate) -> str:
        low, high = rate.interval
        return f"{100 * rate.value:.1f} [{100 * low:.1f}, {100 * high:.1f}]"

    rows = [
        {
            "negative": report.name,
            "verdict": report.verdict,
            "= source": percent(report.exact_source),
            "= other": percent(report.exact_real),
            "near, pixels": percent(report.near_pixels),
            "near, features": percent(report.near_features),
            "AUROC dist.": f"{report.nearest_pixels.value:.2f} / {report.nearest_features.value:.2f}",
            "classif.": f"{report.classifier.value:.3f}",
            "pass": percent(report.passing),
        }
        for report in reports
    ]
    # Columns as wide as their longest cell.
    columns = [[name, *(row[name] for row in rows)] for name in rows[0]]
    padded = [[text.ljust(max(map(len, column))) for text in column] for column in columns]
    return "\n".join("  ".join(line).rstrip() for line in zip(*padded))
