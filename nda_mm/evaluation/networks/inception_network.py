"""The Inception network through mmagic's own metrics: the one whose Frechet distance is called FID."""

from __future__ import annotations

from pathlib import Path

import torch
from mmagic.evaluation.metrics import FrechetInceptionDistance, InceptionScore
from torch import Tensor

from nda_mm.compat.safe_load import require_intact

from .feature_network import FeatureNetwork, FeaturesAndProbs


class InceptionNetwork(FeatureNetwork):
    """Inception-v3 of 2015 as the TorchScript file that mmagic's FID and Inception Score use.

    Images reach it as mmagic's metrics send them: for features the network resizes them itself, for the score they are
    resized to 299 with Pillow's bicubic filter. Nothing is ever downloaded here: a wrong file must not silently become
    another network.

    Args:
        path: Of the TorchScript file ``inception-2015-12-05.pt`` (NVIDIA's, named in mmagic's documentation).
        score: Also compute class probabilities for the score, a second pass. Default True.

    Raises:
        FileNotFoundError: If there is no file at the path.
        ValueError: If it is no TorchScript file.
    """

    distance_name = "fid"
    kernel_name = "kid"
    score_name = "is"

    def __init__(self, path: str, *, score: bool = True) -> None:
        if not Path(path).is_file():
            raise FileNotFoundError(
                f"there are no Inception weights at {path!r}. FID needs the TorchScript file inception-2015-12-05.pt; "
                "without it, name another network (type='mmpretrain' or 'torchvision')"
            )
        try:  # mmagic would go on to a download if this failed
            require_intact(path)
            torch.jit.load(path, map_location="cpu")
        except (RuntimeError, ValueError) as error:
            raise ValueError(f"{path!r} is no TorchScript file of the Inception network: {error}") from error
        super().__init__(
            "inception", f"Inception-v3, weights {Path(path).name}, through mmagic's FID (resized by the network)"
        )
        self._fid = FrechetInceptionDistance(fake_nums=1, inception_style="StyleGAN", inception_path=path)
        self.inception = self._fid.inception
        self._score = InceptionScore(fake_nums=1, inception_path=path) if score else None

    @torch.no_grad()
    def forward(self, images: Tensor) -> FeaturesAndProbs:
        """See :meth:`FeatureNetwork.forward`; without ``score`` there are no probabilities (N, 0)."""
        self._fid.device = images.device
        bgr = images.flip(1)  # what mmagic's metrics are given
        features = self._fid.forward_inception(bgr).flatten(1)
        if self._score is None:
            return FeaturesAndProbs(features, features.new_zeros(len(images), 0))
        resized = self._score._preprocess(bgr).to(images.device, torch.uint8)
        return FeaturesAndProbs(features, self.inception(resized, no_output_bias=True))
