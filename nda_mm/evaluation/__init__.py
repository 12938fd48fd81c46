"""How good generated images are: distances to real ones over a named network, and agreement with their classes."""

from nda_mm.evaluation.class_agreement import ClassAgreement
from nda_mm.evaluation.frechet import FeatureStatistics, frechet_distance
from nda_mm.evaluation.frechet_metric import FrechetDistance

__all__ = ["ClassAgreement", "FeatureStatistics", "FrechetDistance", "frechet_distance"]
