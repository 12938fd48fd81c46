"""What an audit of negatives found, what follows from it, and how it is printed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .two_sample import auroc_interval, wilson_interval

#: Radius within which a negative is a near duplicate, as a share of the distance between neighbouring reals.
NEAR = 0.1
#: Share of near duplicates that a verdict tolerates.
TOLERANCE = 0.01
#: AUROC from which on negatives are shown to be out of distribution, and below which they are not told from data.
OUT_OF_DISTRIBUTION = 0.95
IN_DISTRIBUTION = 0.65
#: From the best to the worst.
VERDICTS = ("safe", "doubtful", "leaks", "in distribution")


@dataclass(frozen=True)
class Rate:
    """A share with its 95 % interval."""

    count: int
    total: int

    @property
    def value(self) -> float:
        return self.count / self.total

    @property
    def interval(self) -> tuple[float, float]:
        return wilson_interval(self.count, self.total)

    def as_dict(self) -> dict[str, Any]:
        return {"count": self.count, "total": self.total, "value": self.value, "interval": list(self.interval)}


@dataclass(frozen=True)
class Auroc:
    """How well one instrument tells negatives from held-out reals, with its 95 % interval; 0.5 is chance."""

    value: float
    total: int

    @property
    def interval(self) -> tuple[float, float]:
        return auroc_interval(self.value, self.total, self.total)

    def as_dict(self) -> dict[str, Any]:
        return {"value": self.value, "total": self.total, "interval": list(self.interval)}


@dataclass
class NegativeReport:
    """What :func:`audit_negative` found out about one transform.

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

        'in distribution': negatives are hardly told from data; the theory does not hold.
        'leaks': told from data on the whole, but some are real images: any exact duplicate, or more near ones than
        ``TOLERANCE``, beyond doubt.
        'doubtful': some differences, too few to call the supports disjoint.
        'safe': no duplicates and told from data nearly always.
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
        rates = ("exact_source", "exact_real", "near_pixels", "near_features", "passing")
        scores = ("nearest_pixels", "nearest_features", "classifier")
        measured = {name: getattr(self, name).as_dict() for name in rates + scores}
        return {"name": self.name, "verdict": self.verdict, **measured, "offenders": self.offenders}


def format_reports(reports: list[NegativeReport]) -> str:
    """The reports as a table for the terminal, rates in percent with their 95 % intervals."""
    headings = (
        "negative",
        "verdict",
        "= source",
        "= other",
        "near, pixels",
        "near, features",
        "AUROC dist.",
        "classif.",
        "pass",
    )

    def percent(rate: Rate) -> str:
        low, high = rate.interval
        return f"{100 * rate.value:.1f} [{100 * low:.1f}, {100 * high:.1f}]"

    rows = [headings] + [
        (
            report.name,
            report.verdict,
            percent(report.exact_source),
            percent(report.exact_real),
            percent(report.near_pixels),
            percent(report.near_features),
            f"{report.nearest_pixels.value:.2f} / {report.nearest_features.value:.2f}",
            f"{report.classifier.value:.3f}",
            percent(report.passing),
        )
        for report in reports
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(headings))]
    return "\n".join("  ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip() for row in rows)
