"""The Inception network of mmagic's own metrics; its Frechet distance is the FID."""

from __future__ import annotations

from pathlib import Path

import torch
from mmagic.evaluation.metrics import FrechetInceptionDistance, InceptionScore
from torch import Tensor

from nda_mm.compat.safe_load import require_intact

from .feature_network import FeatureNetwork, FeaturesAndProbs


class InceptionNetwork(FeatureNetwork):
    """Inception-v3 of 2015, from the TorchScript file that mmagic's FID and Inception Score use.

    Images are preprocessed as in mmagic's metrics: for features the network resizes them itself, for the score they are
    resized to 299 with Pillow's bicubic filter. Nothing is ever downloaded, so that a wrong file cannot silently be
    replaced by another network.

    Args:
        path: Path of the TorchScript file ``inception-2015-12-05.pt`` (NVIDIA's, named in mmagic's documentation).
        score: Whether to also compute class probabilities for the score, which takes a second pass. Defaults to True.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If the file is not a TorchScript file.
    """

    distance_name = "fid"
    kernel_name = "kid"
    score_name = "is"

    def __init__(self, path: str, *, score: bool = True) -> None:
        if not Path(path).is_file():
            raise FileNotFoundError(
                f"no Inception weights found at {path!r}. FID needs the TorchScript file inception-2015-12-05.pt; "
                "without it, use another network (type='mmpretrain' or 'torchvision')"
            )
        try:  # mmagic would start a download if this failed
            require_intact(path)
            torch.jit.load(path, map_location="cpu")
        except (RuntimeError, ValueError) as error:
            raise ValueError(f"{path!r} is not a TorchScript file of the Inception network: {error}") from error
        super().__init__(
            "inception", f"Inception-v3, weights {Path(path).name}, through mmagic's FID (resized by the network)"
        )
        self._fid = FrechetInceptionDistance(fake_nums=1, inception_style="StyleGAN", inception_path=path)
        self.inception = self._fid.inception
        self._score = InceptionScore(fake_nums=1, inception_path=path) if score else None

    @torch.no_grad()
    def forward(self, images: Tensor) -> FeaturesAndProbs:
        """See :meth:`FeatureNetwork.forward`; without ``score`` the probabilities are empty: (N, 0)."""
        self._fid.device = images.device
        bgr = images.flip(1)  # the channel order that mmagic's metrics expect
        features = self._fid.forward_inception(bgr).flatten(1)
        if self._score is None:
            return FeaturesAndProbs(features, features.new_zeros(len(images), 0))
        resized = self._score._preprocess(bgr).to(images.device, torch.uint8)
        return FeaturesAndProbs(features, self.inception(resized, no_output_bias=True))
