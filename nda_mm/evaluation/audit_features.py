"""Features for auditing negatives without a trained network: small pixels, HOG features, and a small classifier."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from nda_mm.negatives.external import resize_images

_PIXEL_SIDE, _HOG_SIDE = 32, 64
_ORIENTATIONS = 8
_PROJECTIONS, _FOLDS = 512, 4


def check_images(images: Tensor) -> None:
    """Raise ValueError if ``images`` is not a batch of images that an audit can use."""
    if images.ndim != 4 or images.shape[1] not in (1, 3) or min(images.shape[-2:]) < 8:
        raise ValueError(f"images must be (N, C, H, W), C 1 or 3, sides at least 8, but got {tuple(images.shape)}")


def shrink_images(images: Tensor, max_side: int) -> Tensor:
    """Downsample images so that no side exceeds ``max_side``; smaller images are returned unchanged."""
    scale = min(1.0, max_side / max(images.shape[-2:]))
    height, width = (max(1, round(side * scale)) for side in images.shape[-2:])
    return resize_images(images, (height, width))


def small_pixels(images: Tensor) -> Tensor:
    """Return the pixels of images, downsampled to sides of at most 32. Shape: (N, C H W)."""
    return shrink_images(images, _PIXEL_SIDE).flatten(1)


def hog_features(images: Tensor) -> Tensor:
    """Compute features of images without a trained network: coarse color, gradient orientations, edge strength.

    The groups of features are scaled so that none outweighs the others: colors averaged over an 8x8 grid; histograms of
    gradient orientation over a 4x4 grid (after N. Dalal, B. Triggs, Histograms of oriented gradients for human
    detection, CVPR 2005); the mean gradient along every row and column, where seams stand out; and sharpness over an
    8x8 grid and curvature. Images with a side above 64 pixels are downsampled first.

    Args:
        images: Floating-point images in [-1, 1]. Shape: (N, C, H, W), C 1 or 3, sides at least 8.

    Returns:
        Features, float32. Shape: (N, D); D depends on C, H and W.

    Example:
        >>> hog_features(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 447])
    """
    check_images(images)
    images = shrink_images(images.float(), _HOG_SIDE)
    gray = images.mean(dim=1)
    # Differences of adjacent pixels; a seam is only sharp at this distance.
    across, down = gray.diff(dim=2), gray.diff(dim=1)
    profiles = torch.cat([across.abs().mean(dim=1), down.abs().mean(dim=2)], dim=1)
    # Coarse colors.
    colors = F.adaptive_avg_pool2d(images, 8).flatten(1)
    # Edge strength. The log scale, starting at one gray level, tells flat and blurred regions from smooth ones.
    slopes = F.pad(across, (0, 1)).abs() + F.pad(down, (0, 0, 0, 1)).abs()
    sharpness = (F.adaptive_avg_pool2d(slopes[:, None], 8).flatten(1) + 1 / 127.5).log()
    curvature = (across.diff(dim=2).abs().mean(dim=(1, 2)) + down.diff(dim=1).abs().mean(dim=(1, 2)) + 1 / 127.5).log()
    # Histograms of orientation; each gradient is split between the two nearest bins.
    dx, dy = across[:, :-1], down[:, :, :-1]
    magnitude = torch.hypot(dx, dy)
    position = torch.atan2(dy, dx) * (_ORIENTATIONS / (2 * math.pi))
    lower = position.floor()
    share = (position - lower)[:, None]
    bins = torch.arange(_ORIENTATIONS, device=images.device)[:, None, None]
    lower_bin = lower.long().remainder(_ORIENTATIONS)[:, None]
    weight = (lower_bin == bins) * (1 - share) + ((lower_bin + 1).remainder(_ORIENTATIONS) == bins) * share
    histograms = F.adaptive_avg_pool2d(weight * magnitude[:, None], 4).flatten(1)
    histograms = (histograms / histograms.sum(dim=1, keepdim=True).clamp_min(1e-6)).sqrt()
    groups = (colors, 2 * histograms, 4 * profiles, 0.3 * sharpness, 0.3 * curvature[:, None])
    return torch.cat([group / math.sqrt(group.shape[1]) for group in groups], dim=1)


def classifier_scores(reals: Tensor, negatives: Tensor, *, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Compute out-of-fold scores of a small classifier that separates negatives from the reals they were made from.

    This is a classifier two-sample test (D. Lopez-Paz, M. Oquab, Revisiting classifier two-sample tests, ICLR 2017): if
    a classifier is no better than chance on held-out data, the two sets have the same distribution as far as it can
    see. The classifier is ridge regression on the features and 512 random rectified projections of them: closed form,
    no tuning, seconds. Row i of both sets is in the same of four folds, so that the classifier has never seen the
    source of a negative that it scores.

    Args:
        reals: Features of the real images. Shape: (N, D).
        negatives: Features of the negative made from each real image. Shape: (N, D).
        generator: Generator that draws folds and projections.

    Returns:
        Scores of the reals and of the negatives; a higher score means negative. Shape: (N,) each.
    """
    # Standardize the features; append their projections and a constant.
    count = len(reals)
    both = torch.cat([reals, negatives]).double()
    both = (both - both.mean(dim=0)) / both.std(dim=0).clamp_min(1e-6)
    projection = torch.randn(both.shape[1], _PROJECTIONS, dtype=both.dtype, generator=generator)
    projection /= math.sqrt(both.shape[1])
    offsets = torch.randn(_PROJECTIONS, dtype=both.dtype, generator=generator)
    both = torch.cat([both, (both @ projection + offsets).relu(), torch.ones(2 * count, 1, dtype=both.dtype)], dim=1)
    # Score each fold with a classifier trained on the other folds.
    target = torch.cat([-torch.ones(count), torch.ones(count)]).to(both)
    fold = torch.randperm(count, generator=generator).remainder(_FOLDS).repeat(2)
    scores = torch.empty_like(target)
    for index in range(_FOLDS):
        train, held_out = both[fold != index], both[fold == index]
        gram = train.T @ train
        # The ridge is about one standard deviation of the scores' noise; it allows fewer rows than columns.
        gram.diagonal().add_(0.1 * gram.diagonal().mean())
        weights = torch.linalg.solve(gram, train.T @ target[fold != index])
        scores[fold == index] = held_out @ weights
    return scores[:count], scores[count:]
