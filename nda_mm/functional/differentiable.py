"""Differentiable augmentation of every image that a discriminator sees.

The results are not negatives: the images stay valid, and every call draws new parameters.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .checks import check_batch
from .sampling import random_integers

#: Available augmentations, in the order in which they are applied.
POLICIES = ("color", "translation", "cutout")
#: Maximum translation and side of the cutout square, as fractions of the image's side.
_TRANSLATION, _CUTOUT = 1 / 8, 1 / 2


def check_policy(policy: Sequence[str]) -> tuple[str, ...]:
    """Return ``policy`` in the order of :data:`POLICIES`.

    Raises:
        ValueError: If it is empty, or contains duplicate or unknown names.
    """
    wanted = [policy] if isinstance(policy, str) else list(policy)
    unknown = [name for name in wanted if name not in POLICIES]
    if unknown or not wanted or len(set(wanted)) != len(wanted):
        raise ValueError(f"policy must name one or more of {', '.join(POLICIES)}, each once, but got {policy!r}")
    return tuple(name for name in POLICIES if name in wanted)


def diff_augment(x: Tensor, policy: Sequence[str] = POLICIES, *, generator: torch.Generator | None = None) -> Tensor:
    """Change colors, translate and cut out a square, separately for each image; gradients flow to the image.

    Color: brightness changes by up to 0.5 in either direction, saturation by a factor of 0 to 2 and contrast by a
    factor of 0.5 to 1.5, without clipping. Translation: by up to an eighth of the height and width in either direction,
    padded with zeros. Cutout: a square of half the image's height and width, centered anywhere, is set to zero.

    Source: Zhao et al., "Differentiable Augmentation for Data-Efficient GAN Training", NeurIPS 2020,
    https://arxiv.org/abs/2006.10738, section 3.2 and appendix.

    Args:
        x: Images centered at zero, such as in [-1, 1], so that zero is mid-gray.
        policy: Augmentations to apply, from :data:`POLICIES`. Defaults to all of them.
        generator: Random generator on the device of ``x``. Defaults to torch's default generator.

    Shape:
        ``(B, C, H, W)``; the output has the same shape.

    Returns:
        A new tensor.

    Raises:
        TypeError, ValueError: If ``x`` is not a batch of floating-point images, or ``policy`` is not valid.

    Example:
        >>> x = torch.ones(2, 3, 8, 8, requires_grad=True)
        >>> diff_augment(x, ["cutout"], generator=torch.Generator().manual_seed(0)).sum().backward()
        >>> sorted(set(x.grad.flatten().tolist()))  # nothing flows where the squares are
        [0.0, 1.0]
    """
    names = check_policy(policy)
    check_batch(x, generator)
    if x.ndim != 4 or not x.is_floating_point():
        raise TypeError(f"x must be floating-point images (B, C, H, W), but got {x.dtype} and {tuple(x.shape)}")
    for name in names:
        x = _AUGMENTATIONS[name](x, generator)
    return x


def _color(x: Tensor, generator: torch.Generator | None) -> Tensor:
    draws = torch.rand(3, len(x), 1, 1, 1, dtype=x.dtype, device=x.device, generator=generator)
    # Brightness, then saturation around each pixel's gray, then contrast around the image's mean.
    x = x + (draws[0] - 0.5)
    gray = x.mean(dim=1, keepdim=True)
    x = (x - gray) * (2 * draws[1]) + gray
    level = x.mean(dim=(1, 2, 3), keepdim=True)
    return (x - level) * (draws[2] + 0.5) + level


def _translation(x: Tensor, generator: torch.Generator | None) -> Tensor:
    batch, _, height, width = x.shape
    seen, places = [], []
    for side in (height, width):
        furthest = int(side * _TRANSLATION + 0.5)
        moved = random_integers(-furthest, furthest, batch, like=x, generator=generator)
        place = torch.arange(side, device=x.device) - moved[:, None]  # (B, side): where each pixel comes from
        seen.append((place >= 0) & (place < side))
        places.append(place.clamp(0, side - 1))
    index = torch.arange(batch, device=x.device)[:, None, None]
    taken = x.permute(0, 2, 3, 1)[index, places[0][:, :, None], places[1][:, None, :]].permute(0, 3, 1, 2)
    return taken * (seen[0][:, :, None] & seen[1][:, None, :])[:, None]


def _cutout(x: Tensor, generator: torch.Generator | None) -> Tensor:
    batch, _, height, width = x.shape
    inside = []
    for side in (height, width):
        length = int(side * _CUTOUT + 0.5)
        center = random_integers(0, side - length % 2, batch, like=x, generator=generator)
        offset = torch.arange(side, device=x.device) - (center - length // 2)[:, None]
        inside.append((offset >= 0) & (offset < length))
    return x * ~(inside[0][:, :, None] & inside[1][:, None, :])[:, None]


_AUGMENTATIONS = {"color": _color, "translation": _translation, "cutout": _cutout}
