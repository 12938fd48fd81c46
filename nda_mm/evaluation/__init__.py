"""Evaluation of generated images and of OOD detection: pure functions, and metrics for configs."""

from .detection import detection_measures
from .distances import FeatureStatistics, classifier_score, frechet_distance, kernel_distance
from .metrics.high_quality_ratio import HighQualityRatio, ModeCoverage, mode_coverage
from .metrics.network_metrics import (
    ClassifierScore,
    ConditionalAccuracy,
    FrechetDistance,
    KernelDistance,
    PrecisionRecall,
    RuleBreaks,
)
from .metrics.ood_metric import OODMetric
from .metrics.translation import SegmentationScores, TranslationScores
from .nearest import knn_distances, knn_scores, precision_recall

__all__ = [
    "ClassifierScore",
    "ConditionalAccuracy",
    "FeatureStatistics",
    "FrechetDistance",
    "HighQualityRatio",
    "KernelDistance",
    "ModeCoverage",
    "OODMetric",
    "PrecisionRecall",
    "RuleBreaks",
    "SegmentationScores",
    "TranslationScores",
    "classifier_score",
    "detection_measures",
    "frechet_distance",
    "kernel_distance",
    "knn_distances",
    "knn_scores",
    "mode_coverage",
    "precision_recall",
]
