"""Audit of negatives: measure on your own images how often a negative is not a negative.

In theory (Sinha et al., Negative Data Augmentation, ICLR 2021, https://arxiv.org/abs/2102.05113), the data remain the
optimum of the generator only if negatives and data have disjoint supports. A negative that is a real image, or could
well be one, teaches the discriminator that the data are fake: a jigsaw of a texture is a texture, the mirror image of a
symmetric object is the object, a periodic image shifted by its period is itself.

Supports cannot be observed in a finite sample, but two consequences can.

*Duplicates.* No negative may be a real image, neither its source nor another one. Exact duplicates are equal at 8 bits
and full resolution. Near duplicates lie within a radius of a real image: a tenth of the distance from that image to its
nearest other real image (or one gray level, if that is more). The radius thus adapts to the data, and no real image
lies that close to another.

*Distinguishability.* With disjoint supports, a perfect discriminator separates negatives from unseen data (AUROC 1).
With identical distributions, none can (AUROC 0.5). The audit uses two detectors. The first is the distance to the
nearest image of a reference half of the reals, for the negatives and for the held-out reals they were made from. The
second is a small classifier, scored out of fold. Both give lower bounds: a high AUROC shows that a negative is one,
while a low AUROC only shows that these detectors see no difference.
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

#: Radius within which a negative is a near duplicate, as a fraction of the distance between neighboring reals.
NEAR = 0.1
#: Tolerated share of near duplicates.
TOLERANCE = 0.01
#: AUROC above which negatives count as out of distribution, and below which no difference is seen.
OUT_OF_DISTRIBUTION = 0.95
IN_DISTRIBUTION = 0.65
#: Possible verdicts, from best to worst.
VERDICTS = ("safe", "doubtful", "leaks", "in distribution")

_BATCH = 64  # negatives made at a time
_OFFENDERS = 16  # number of suspicious samples listed in a report

#: A registered negative, or any function of a batch with the keyword argument ``generator``.
NegativeFunction = Callable[..., Tensor]


class NegativeAudit:
    """Audit any number of transforms on a set of real images.

    Half of the images, at most ``samples``, are the sources of the negatives (and the partners, if a transform needs
    any). They also serve as the held-out reals. The other images are the reference. Duplicates are searched for among
    all images.

    Args:
        images: Real images, uint8. Shape: (N, C, H, W), N at least 64, C 1 or 3, sides at least 8.
        samples: Maximum number of negatives per transform. Defaults to 2000.
        features: Function that maps images in [-1, 1], (N, C, H, W), to features (N, D), for example a network in eval
            mode. Defaults to :func:`~nda_mm.evaluation.audit_features.hog_features`.
        seed: Seed for the choice of sources, the negatives and the classifier. Defaults to 0.

    Raises:
        TypeError: If the images are not uint8.
        ValueError: If there are too few images or they are too small.

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
            raise ValueError(f"an audit needs at least 64 images and 32 samples, but got {len(images)} and {samples}")
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
        """Make a negative of each source, in order, as uint8; transforms get batches of about 64 images in [-1, 1]."""
        generator = torch.Generator().manual_seed(self.seed + 1)
        made = []
        # Split evenly: a last batch of one image would have no partner for transforms that need one.
        for chunk in self.images[: self.count].tensor_split(max(1, self.count // _BATCH)):
            x = chunk.float() / 127.5 - 1
            made.append(((negative(x, generator=generator) + 1) * 127.5).round().clamp(0, 255).byte())
        return torch.cat(made)

    def measure(self, name: str, negative: NegativeFunction) -> NegativeReport:
        """Make negatives with a transform and measure them.

        Args:
            name: Name of the transform in the report.
            negative: The transform.

        Returns:
            The measurements.

        Raises:
            ValueError: If the transform changes the shape of images.
        """
        made, count = self.negatives(negative), self.count
        if made.shape != self.images[:count].shape:
            raise ValueError(f"{name} must keep the shape of images, {self.images.shape[1:]}, but got {made.shape[1:]}")
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
        # Rank duplicates first, the nearest on top; then the negatives that look most real to the classifier.
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
        """Return the real image nearest to each image in feature space, for example to show beside an offender."""
        return self.images[nearest_neighbors(self._in_batches(self.features, images), self._features)[1]]

    def _in_batches(self, embed: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
        with torch.no_grad():
            return torch.cat([embed(chunk.float() / 127.5 - 1).flatten(1).float() for chunk in images.split(512)])


def _near_ratio(points: Tensor, real: Tensor, floor: float) -> Tensor:
    """Return the distance to the nearest real, divided by that real's distance to its own nearest neighbor."""
    distance, index = nearest_neighbors(points, real)
    found, place = index.unique(return_inverse=True)
    spacing = nearest_neighbors(real[found], real, found)[0][place]
    # `floor` is a difference per value, so its Euclidean distance grows with the root of their number.
    return distance / spacing.clamp_min(floor * real.shape[1] ** 0.5 / NEAR + 1e-12)


def _digest(image: Tensor) -> bytes:
    """Hash an image, to find equal ones without keeping a second copy of all images."""
    return hashlib.blake2b(image.numpy().tobytes(), digest_size=16).digest()


@dataclass(frozen=True)
class Rate:
    """A proportion with its 95 % Wilson interval, which is not empty even if the count is 0."""

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
    """AUROC of negatives against equally many held-out reals, with its 95 % interval; 0.5 is chance.

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
    """Results of :meth:`NegativeAudit.measure` for one transform.

    Attributes:
        name: Name of the transform.
        exact_source: Share of negatives equal to the image they were made from.
        exact_real: Share of negatives equal to any other real image.
        near_pixels: Share of near duplicates of a real image (the source or another) in pixels; includes exact ones.
        near_features: The same in feature space.
        nearest_pixels: AUROC of the distance to the nearest reference image, in pixels. A value below 0.5 means that
            negatives are closer to the data than the data themselves. This is the case for blends in pixels, and not
            a sign of being in distribution.
        nearest_features: The same in feature space.
        classifier: AUROC of the classifier, out of fold.
        passing: Share of negatives that the classifier accepts as real, at a threshold that keeps 95 % of the reals.
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
        """The higher of the two AUROCs that the verdict uses; pixel distances are left out, as blends mislead them."""
        return max(self.nearest_features, self.classifier, key=lambda score: score.value)

    @property
    def verdict(self) -> str:
        """The first of these verdicts that applies:

        'in distribution': Negatives hardly differ from the data, so the theory does not apply.
        'leaks': Negatives differ from the data on the whole, but some are real images: there is an exact duplicate, or
        significantly more near duplicates than ``TOLERANCE``.
        'safe': No duplicates, and nearly always distinguished from the data.
        'doubtful': Some differences, but too few to call the supports disjoint.
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
        """Return the report as a dict that can be written as JSON."""
        content = asdict(self)
        for name, found in vars(self).items():
            if isinstance(found, (Rate, Auroc)):
                content[name] |= {"value": found.value, "interval": list(found.interval)}
        return {**content, "verdict": self.verdict}


def format_reports(reports: list[NegativeReport]) -> str:
    """Format reports as a table for the terminal, with rates in percent and their 95 % intervals."""

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
    # Pad each column to its longest cell.
    columns = [[name, *(row[name] for row in rows)] for name in rows[0]]
    padded = [[text.ljust(max(map(len, column))) for text in column] for column in columns]
    return "\n".join("  ".join(line).rstrip() for line in zip(*padded))
