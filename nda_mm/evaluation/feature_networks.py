"""Networks by name: what an image set is judged with, and what is said of it beside the number."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import Tensor, nn

__all__ = ["NETWORKS", "FeatureNetwork", "Judgement", "build_feature_network"]

#: Where the networks are; a module is imported when its name is used, so that each needs its own host alone.
NETWORKS: dict[str, tuple[str, str]] = {
    "inception": ("nda_mm.evaluation.inception_network", "InceptionNetwork"),
    "mmpretrain": ("nda_mm.evaluation.mmpretrain_network", "MMPretrainNetwork"),
    "torchvision": ("nda_mm.evaluation.torchvision_network", "TorchvisionNetwork"),
}


class Judgement(NamedTuple):
    """What a network says of a batch of images."""

    features: Tensor  # (N, D), what stands before its last layer
    probabilities: Tensor  # (N, classes)


class FeatureNetwork(nn.Module):
    """A frozen classifier with a name, under which its distances are reported.

    Attributes:
        name: Prefix of the results, for example ``classifier_digits``.
        protocol: One line that identifies the network and how images reach it: weights, resizing.
        distance_name, kernel_name, score_name: Names of the results. Those of the Inception network alone are called
            ``fid``, ``kid`` and ``is``.
    """

    distance_name = "frechet"
    kernel_name = "kernel"
    score_name = "score"

    def __init__(self, name: str, protocol: str) -> None:
        super().__init__()
        self.name = name
        self.protocol = protocol

    def forward(self, images: Tensor) -> Judgement:
        """Judge a batch.

        Args:
            images: uint8 RGB in [0, 255].

        Shape:
            ``(N, 3, H, W)``.

        Returns:
            Features and class probabilities, without gradients.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement forward")

    def train(self, mode: bool = True) -> FeatureNetwork:
        """Always in ``eval`` mode: it judges and is not trained."""
        return super().train(False)


def build_feature_network(cfg: Mapping[str, Any] | FeatureNetwork) -> FeatureNetwork:
    """Build a network from a config such as ``dict(type='mmpretrain', config='classifier_digits.py', ...)``.

    Args:
        cfg: ``type`` is a key of :data:`NETWORKS`; the rest are that network's arguments. A network passes through.

    Returns:
        The network, in ``eval`` mode and without gradients.

    Raises:
        ValueError: if the type is unknown.
        TypeError: if ``cfg`` is neither.

    Example:
        >>> build_feature_network(dict(type="vgg"))
        Traceback (most recent call last):
        ValueError: the type of a feature network must be one of inception, mmpretrain, torchvision, but got 'vgg'
    """
    if isinstance(cfg, FeatureNetwork):
        return cfg.requires_grad_(False).eval()
    if not isinstance(cfg, Mapping):
        raise TypeError(f"a feature network is a dict with a 'type', or a FeatureNetwork, but got {cfg!r}")
    settings = dict(cfg)
    kind = settings.pop("type", None)
    if kind not in NETWORKS:
        raise ValueError(f"the type of a feature network must be one of {', '.join(NETWORKS)}, but got {kind!r}")
    module, name = NETWORKS[kind]
    return getattr(importlib.import_module(module), name)(**settings).requires_grad_(False).eval()
