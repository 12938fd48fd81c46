"""A fixed description of small images for audits: what is where, without a trained network."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

_MAX_SIDE = 64
_ORIENTATIONS = 8


def describe_images(images: Tensor) -> Tensor:
    """Describe images by coarse colour, gradient orientations by place, and edge strength by row and column.

    Three groups, each scaled so that none outweighs the others: colours averaged over an 8x8 grid; histograms of
    gradient orientation over a 4x4 grid (after N. Dalal, B. Triggs, Histograms of oriented gradients for human
    detection, CVPR 2005); and the mean gradient along every row and column, in which seams stand out. Images with a
    side above 64 pixels are averaged down first. No weights, so the same everywhere.

    Args:
        images: Floating, in [-1, 1]. Shape: (N, C, H, W), C 1 or 3, sides at least 8.

    Returns:
        float32. Shape: (N, D); D depends on C, H and W.

    Example:
        >>> describe_images(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 447])
    """
    if images.ndim != 4 or images.shape[1] not in (1, 3) or min(images.shape[-2:]) < 8:
        raise ValueError(
            f"images (N, C, H, W) with C 1 or 3 and sides of at least 8 are needed, got {tuple(images.shape)}"
        )
    images = shrink_images(images.float(), _MAX_SIDE)
    grey = images.mean(dim=1)
    # Differences of neighbours, by place of the boundary between them: a seam is sharp only there.
    across, down = grey.diff(dim=2), grey.diff(dim=1)
    profiles = torch.cat([across.abs().mean(dim=1), down.abs().mean(dim=2)], dim=1)
    colours = F.adaptive_avg_pool2d(images, 8).flatten(1)
    # On a logarithmic scale, from a grey level up, flat and blurred places differ from merely calm ones.
    slopes = F.pad(across, (0, 1)).abs() + F.pad(down, (0, 0, 0, 1)).abs()
    sharpness = (F.adaptive_avg_pool2d(slopes[:, None], 8).flatten(1) + 1 / 127.5).log()
    curvature = (across.diff(dim=2).abs().mean(dim=(1, 2)) + down.diff(dim=1).abs().mean(dim=(1, 2)) + 1 / 127.5).log()

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
    groups = (colours, 2 * histograms, 4 * profiles, 0.3 * sharpness, 0.3 * curvature[:, None])
    return torch.cat([group / math.sqrt(group.shape[1]) for group in groups], dim=1)


def shrink_images(images: Tensor, max_side: int) -> Tensor:
    """Average images down so that no side exceeds ``max_side``; smaller ones are returned as they are."""
    height, width = images.shape[-2:]
    if max(height, width) <= max_side:
        return images
    scale = max_side / max(height, width)
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    return F.interpolate(images, size, mode="bilinear", antialias=True, align_corners=False)
