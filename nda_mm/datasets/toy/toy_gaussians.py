"""Points in the plane from a ring of Gaussians: a minimal data set on which to watch a GAN train."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from mmengine.dataset import BaseDataset

from nda_mm.functional.checks import check_choice
from nda_mm.registry import DATASETS

_SPLITS = ("train", "test")


def ring_centers(modes: int, radius: float) -> np.ndarray:
    """Return centers of Gaussians on a circle around 0, the first on the positive x axis. Shape: (modes, 2).

    Example:
        >>> ring_centers(4, 2.0).round(6).tolist()
        [[2.0, 0.0], [0.0, 2.0], [-2.0, 0.0], [-0.0, -2.0]]
    """
    angles = 2 * math.pi * np.arange(modes) / modes
    return radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)


@DATASETS.register_module()
class ToyGaussians(BaseDataset):
    """Points of a mixture of equal Gaussians on a ring, as images of one row, two columns and one channel.

    In this form, the GANs of this package, their negatives and their training can be used unchanged. The points are
    drawn once from a seed; equal settings give equal points.

    Source: the mixture on a ring is common in the GAN literature (Metz et al., "Unrolled GANs", ICLR 2017,
    https://arxiv.org/abs/1611.02163, figure 2); Sinha et al., ICLR 2021, https://arxiv.org/abs/2102.05113, try
    negatives on Gaussians in the plane.

    Args:
        data_root: Not used; accepted so that this data set can replace the data set of a recipe.
        split: 'train' or 'test', two independent draws.
        modes: Number of Gaussians.
        radius: Radius of the ring.
        std: Standard deviation of each Gaussian in both directions.
        num_points: Number of points in the split.
        seed: Seed for the random draws.
        kwargs: Arguments of mmengine's ``BaseDataset``: ``pipeline``, ``indices``, ...

    Raises:
        ValueError: If ``split`` is unknown.

    Example:
        >>> points = ToyGaussians(num_points=100)
        >>> len(points), points[0]["gt"].shape, points[0]["gt"].dtype.name
        (100, (1, 2, 1), 'float32')
    """

    METAINFO = dict(dataset_type="toy_gaussians")

    def __init__(
        self,
        data_root: str = "",
        split: str = "train",
        *,
        modes: int = 8,
        radius: float = 1.0,
        std: float = 0.05,
        num_points: int = 20_000,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        check_choice(split, "split", _SPLITS)
        self.split = split
        self.modes, self.radius, self.std = modes, radius, std
        self.num_points, self.seed = num_points, seed
        super().__init__(data_root=str(data_root), data_prefix={}, **kwargs)

    @property
    def centers(self) -> np.ndarray:
        """Centers of the Gaussians. Shape: (modes, 2)."""
        return ring_centers(self.modes, self.radius)

    def load_data_list(self) -> list[dict[str, Any]]:
        """Draw the points."""
        draw = np.random.default_rng([self.seed, _SPLITS.index(self.split)])
        mode = draw.integers(self.modes, size=self.num_points)
        points = self.centers[mode] + self.std * draw.standard_normal((self.num_points, 2))
        return [
            dict(gt=point.reshape(1, 2, 1), gt_channel_order="single", gt_label=int(label))
            for point, label in zip(points.astype(np.float32), mode)
        ]
