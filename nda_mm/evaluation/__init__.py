"""How good generated images are: distances to real ones over a named network, agreement with classes and targets."""

from nda_mm.evaluation.class_agreement import ClassAgreement
from nda_mm.evaluation.frechet import FeatureStatistics, frechet_distance
from nda_mm.evaluation.frechet_metric import FrechetDistance
from nda_mm.evaluation.mode_coverage import ModeCoverage, mode_coverage
from nda_mm.evaluation.off_modes import OffModes
from nda_mm.evaluation.ood_metric import OODMetric
from nda_mm.evaluation.precision_recall import PrecisionRecall, precision_recall
from nda_mm.evaluation.rule_breaks import RuleBreaks
from nda_mm.evaluation.segmentation_metric import SegmentationScores
from nda_mm.evaluation.translation_scores import TranslationScores

__all__ = [
    "ClassAgreement",
    "FeatureStatistics",
    "FrechetDistance",
    "ModeCoverage",
    "OODMetric",
    "OffModes",
    "PrecisionRecall",
    "RuleBreaks",
    "SegmentationScores",
    "TranslationScores",
    "frechet_distance",
    "mode_coverage",
    "precision_recall",
]
