"""How good generated images are: distances to real ones over a named network, agreement with classes and targets."""

from nda_mm.evaluation.class_agreement import ClassAgreement
from nda_mm.evaluation.frechet import FeatureStatistics, frechet_distance
from nda_mm.evaluation.frechet_metric import FrechetDistance
from nda_mm.evaluation.segmentation_metric import SegmentationScores
from nda_mm.evaluation.translation_scores import TranslationScores

__all__ = [
    "ClassAgreement",
    "FeatureStatistics",
    "FrechetDistance",
    "SegmentationScores",
    "TranslationScores",
    "frechet_distance",
]
