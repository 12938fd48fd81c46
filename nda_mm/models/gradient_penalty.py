"""Where a gradient penalty is taken when the discriminator opposes negatives too."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from nda_mm.models.gan_bridge import Labelled

__all__ = ["GradientPenaltyMixin"]

TOWARDS = ("generated", "mixture")


class GradientPenaltyMixin:
    """For Wasserstein GANs, whose penalty is taken on lines from real images to what the discriminator opposes.

    Source: Gulrajani et al., "Improved Training of Wasserstein GANs", 2017, https://arxiv.org/abs/1704.00028. The
    distance that the critic estimates is that from the data to the mixture of generated images and negatives, so the
    penalty belongs on lines between those two. The paper on negatives does not say which it took.

    Args:
        penalty_towards (str): ``'mixture'``: each line ends in the generated image with probability ``fake_weight``, in
            the negative of its real image otherwise. ``'generated'``: always in the generated one, as without
            negatives. Defaults to ``'mixture'``.

    Raises:
        ValueError: If the name is unknown.
    """

    def __init__(self, *args: Any, penalty_towards: str = "mixture", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if penalty_towards not in TOWARDS:
            raise ValueError(f"penalty_towards must be one of {', '.join(TOWARDS)}, but came as {penalty_towards!r}.")
        self.penalty_towards = penalty_towards

    def opposite(self, images: dict[str, Labelled], fake_weight: float) -> Tensor:
        """What stands at the other end of each line: an image for each real one.

        Args:
            images: ``fake`` and, where there are any, ``negative``.
            fake_weight: Weight of the generated images in this step.

        Shape:
            - Output: (B, C, H, W)
        """
        generated = images["fake"][0]
        if "negative" not in images or self.penalty_towards == "generated":
            return generated
        negative = images["negative"][0]
        chosen = torch.rand(len(generated), 1, 1, 1, device=generated.device) < fake_weight
        return torch.where(chosen, generated, negative)
