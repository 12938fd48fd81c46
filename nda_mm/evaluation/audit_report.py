"""The findings of an audit of negatives with their intervals, the verdict, and the table."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

from scipy.stats import binomtest

#: Radius within which a negative is a near duplicate, as a share of the distance between neighboring reals.
NEAR = 0.1
#: Share of near duplicates that a verdict tolerates.
TOLERANCE = 0.01
#: AUROC from which on negatives are shown to be out of distribution, and below which no difference is seen.
OUT_OF_DISTRIBUTION = 0.95
IN_DISTRIBUTION = 0.65
#: From the best to the worst.
VERDICTS = ("safe", "doubtful", "leaks", "in distribution")


def auroc_interval(value: float, num_negatives: int, num_reals: int) -> tuple[float, float]:
    """Compute the 95 % confidence interval of an AUROC.

    Source: J. A. Hanley, B. J. McNeil, The meaning and use of the area under a ROC curve, Radiology 143, 1982.

    Example:
        >>> low, high = auroc_interval(0.5, 500, 500)
        >>> round(low, 3), round(high, 3)
        (0.464, 0.536)
    """
    first, second = value / (2 - value), 2 * value**2 / (1 + value)
    variance = value * (1 - value) + (num_negatives - 1) * (first - value**2) + (num_reals - 1) * (second - value**2)
    half = 1.96 * math.sqrt(max(variance, 0.0) / (num_negatives * num_reals))
    return max(0.0, value - half), min(1.0, value + half)


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
    """How well one instrument separates negatives from held-out reals, with its 95 % interval; 0.5 is chance."""

    value: float
    total: int

    @property
    def interval(self) -> tuple[float, float]:
        return auroc_interval(self.value, self.total, self.total)


@dataclass
class NegativeReport:
    """What :meth:`~nda_mm.evaluation.audit.NegativeAudit.measure` found for one transform.

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
    columns = [[name, *(row[name] for row in rows)] for name in rows[0]]
    padded = [[text.ljust(max(map(len, column))) for text in column] for column in columns]
    return "\n".join("  ".join(line).rstrip() for line in zip(*padded))
