"""Any classifier of torchvision, by its name and a checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from nda_mm.checkpoints import read_checkpoint
from nda_mm.evaluation.feature_networks import FeatureNetwork, Judgement


class TorchvisionNetwork(FeatureNetwork):
    """A torchvision classifier; its features are what enters its last linear layer.

    Args:
        model: Name in ``torchvision.models``, for example ``'resnet50'``.
        checkpoint: Path of a state dict, or of a dict with one under ``state_dict``. Nothing is downloaded.
        size: Side to which images are resized (bilinear, antialiased), in pixels; None leaves them. Default 224.
        mean, std: Of the RGB channels in [0, 1]. Default: those of ImageNet.
        name: Prefix of the results. Default ``'torchvision_' + model``.

    Raises:
        FileNotFoundError: if there is no checkpoint at the path.
        ValueError: if the checkpoint does not fit the model, or the model has no linear layer.
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
        from torchvision.models import get_model

        path = Path(checkpoint)
        if not path.is_file():
            raise FileNotFoundError(
                f"there is no checkpoint {checkpoint!r} for torchvision's {model}: give the path of its state dict"
            )
        resized = "images as they are" if size is None else f"resized to {size} (bilinear, antialiased)"
        super().__init__(name or f"torchvision_{model}", f"torchvision {model}, weights {path.name}, {resized}")
        state = read_checkpoint(path, needed=())
        state = state.get("state_dict", state)
        self.model = get_model(model, weights=None, num_classes=_number_of_classes(state))
        try:
            self.model.load_state_dict(state)
        except RuntimeError as error:
            raise ValueError(f"the checkpoint {checkpoint!r} does not fit torchvision's {model}: {error}") from error
        linears = [module for module in self.model.modules() if isinstance(module, nn.Linear)]
        if not linears:
            raise ValueError(f"torchvision's {model} has no linear layer whose input could serve as features")
        self.size = size
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1))
        self._features: Tensor | None = None
        linears[-1].register_forward_pre_hook(self._keep)

    def _keep(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        self._features = inputs[0]

    @torch.no_grad()
    def forward(self, images: Tensor) -> Judgement:
        """See :meth:`FeatureNetwork.forward`."""
        pixels = images.float() / 255
        if self.size is not None and pixels.shape[-2:] != (self.size, self.size):
            pixels = interpolate(pixels, (self.size, self.size), mode="bilinear", antialias=True)
        logits = self.model((pixels - self.mean) / self.std)
        features, self._features = self._features, None
        if features is None:
            raise RuntimeError("the model did not call its last linear layer, whose input serves as features")
        return Judgement(features.flatten(1), logits.softmax(dim=1))


def _number_of_classes(state: dict[str, Tensor]) -> int:
    """Rows of the last matrix in a state dict, which torchvision's classifiers end with."""
    matrices = [value for value in state.values() if isinstance(value, Tensor) and value.ndim == 2]
    if not matrices:
        raise ValueError("the checkpoint has no linear layer, so it is no classifier's state dict")
    return len(matrices[-1])
