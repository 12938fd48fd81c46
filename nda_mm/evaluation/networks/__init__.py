"""Feature networks for metrics and audits: classifiers from torchvision and mmpretrain, Inception, and our own."""

from .feature_network import FeatureNetwork, FeaturesAndProbs, build_feature_network

__all__ = ["FeatureNetwork", "FeaturesAndProbs", "build_feature_network"]
