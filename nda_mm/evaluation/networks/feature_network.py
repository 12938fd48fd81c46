"""Feature networks that images are compared with: the base class, a builder, and torchvision classifiers."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torchvision.models import get_model
from torchvision.transforms.functional import normalize

from nda_mm.checkpoints import load_strictly, read_checkpoint
from nda_mm.functional.checks import check_choice
from nda_mm.negatives.external import resize_images

#: Module and class of each network. A module is only imported when its network is built, so that each network needs
#: only its own host.
NETWORKS: dict[str, tuple[str, str]] = {
    "inception": ("nda_mm.evaluation.networks.inception_network", "InceptionNetwork"),
    "mmpretrain": ("nda_mm.evaluation.networks.mmpretrain_network", "MMPretrainNetwork"),
    "torchvision": (__name__, "TorchvisionNetwork"),
}


class FeaturesAndProbs(NamedTuple):
    """Output of a feature network for a batch of images."""

    features: Tensor  # (N, D), the input of its last layer
    probabilities: Tensor  # (N, classes)


class FeatureNetwork(nn.Module):
    """A frozen classifier whose features and probabilities are compared.

    Attributes:
        name: Prefix of the results, for example ``classifier_digits``.
        protocol: One line for reports that identifies the network, its weights and how images are resized.
        distance_name, kernel_name, score_name: Names of the results. Only those of the Inception network are called
            ``fid``, ``kid`` and ``is``.
    """

    distance_name = "frechet"
    kernel_name = "kernel"
    score_name = "score"

    def __init__(self, name: str, protocol: str) -> None:
        super().__init__()
        self.name = name
        self.protocol = protocol

    def forward(self, images: Tensor) -> FeaturesAndProbs:
        """Compute features and class probabilities of a batch, without gradients.

        Args:
            images: uint8 RGB in [0, 255]. Shape: (N, 3, H, W).
        """
        raise NotImplementedError(f"{type(self).__name__} must implement forward")

    def train(self, mode: bool = True) -> FeatureNetwork:
        """Stay in ``eval`` mode: these networks are not trained."""
        return super().train(False)


def build_feature_network(cfg: Mapping[str, Any] | FeatureNetwork) -> FeatureNetwork:
    """Build a network from a config such as ``dict(type='mmpretrain', config='classifier_digits.py', ...)``.

    Args:
        cfg: Config of the network: ``type`` is a key of :data:`NETWORKS`, the rest are the network's arguments. A
            network that is already built is returned as is.

    Returns:
        The network, in ``eval`` mode and without gradients.

    Raises:
        ValueError: If the type is unknown.
        TypeError: If ``cfg`` is neither a config nor a network.

    Example:
        >>> build_feature_network(dict(type="vgg"))
        Traceback (most recent call last):
        ValueError: the type of a feature network must be one of 'inception', 'mmpretrain', 'torchvision', but got 'vgg'
    """
    if isinstance(cfg, FeatureNetwork):
        return cfg.requires_grad_(False).eval()
    if not isinstance(cfg, Mapping):
        raise TypeError(f"a feature network must be a dict with a 'type', or a FeatureNetwork, but got {cfg!r}")
    settings = dict(cfg)
    kind = check_choice(settings.pop("type", None), "the type of a feature network", tuple(NETWORKS))
    module, name = NETWORKS[kind]
    return getattr(importlib.import_module(module), name)(**settings).requires_grad_(False).eval()


class TorchvisionNetwork(FeatureNetwork):
    """A torchvision classifier; its features are the input of its last linear layer.

    Args:
        model: Name in ``torchvision.models``, for example ``'resnet50'``.
        checkpoint: Path of a state dict, or of a dict with one under ``state_dict``. Nothing is downloaded.
        size: Side length in pixels to which images are resized (bilinear, antialiased); None disables resizing.
            Defaults to 224.
        mean, std: Mean and standard deviation of the RGB channels, for images in [0, 1]. Defaults to those of ImageNet.
        name: Prefix of the results. Defaults to ``'torchvision_' + model``.

    Raises:
        FileNotFoundError: If the checkpoint does not exist.
        ValueError: If the checkpoint does not fit the model, or the model has no linear layer.
    """

    def __init__(
        self,
        model: str,
        checkpoint: str,
        *,
        size: int | None = 224,
        mean: Sequence[float] = (0.485, 0.456, 0.406),
        std: Sequence[float] = (0.229, 0.224, 0.225),
        name: str | None = None,
    ) -> None:
        resized = "images as they are" if size is None else f"resized to {size} (bilinear, antialiased)"
        super().__init__(
            name or f"torchvision_{model}", f"torchvision {model}, weights {Path(checkpoint).name}, {resized}"
        )
        saved = read_checkpoint(checkpoint, needed=())
        # The last matrix is the classification layer's weight; its rows give the number of classes.
        matrices = [value for value in saved.get("state_dict", saved).values() if value.ndim == 2]
        self.model = get_model(model, weights=None, num_classes=len(matrices[-1]) if matrices else 1000)
        load_strictly(self.model, saved, source=f"The checkpoint {checkpoint}", target=f"torchvision's {model}")
        linears = [module for module in self.model.modules() if isinstance(module, nn.Linear)]
        if not linears:
            raise ValueError(f"torchvision's {model} has no linear layer whose input could serve as features")
        self.size = size
        self.mean, self.std = list(mean), list(std)
        self._features = torch.empty(0)
        linears[-1].register_forward_pre_hook(self._keep)

    def _keep(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        self._features = inputs[0]

    @torch.no_grad()
    def forward(self, images: Tensor) -> FeaturesAndProbs:
        """See :meth:`FeatureNetwork.forward`."""
        pixels = images.float() / 255
        if self.size is not None:
            pixels = resize_images(pixels, (self.size, self.size))
        logits = self.model(normalize(pixels, self.mean, self.std))
        return FeaturesAndProbs(self._features.flatten(1), logits.softmax(dim=1))
