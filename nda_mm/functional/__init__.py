"""Negatives as pure functions of a batch, which use torch only.

Every function takes a batch of images ``(B, C, H, W)`` or clips ``(B, C, T, H, W)`` of any floating dtype or uint8, on
any device. It returns a new tensor with the same shape, dtype, device, memory format and value range. Each sample is
changed by its own random draws, and all frames of a clip are changed in the same way. Pass ``generator`` to make the
draws reproducible.

Each function draws its parameters and then applies them with a function such as ``tiles.apply_tiles``. Call the latter
directly to apply one change to several tensors, such as images and their masks.

Example:
    >>> import torch
    >>> from nda_mm import functional as F
    >>> real = torch.rand(8, 3, 32, 32)
    >>> negative = F.jigsaw(real, grid=2)
    >>> negative.shape == real.shape, bool((negative == real).flatten(1).all(1).any())
    (True, False)
"""

from .geometry import rotate, shift, shuffle_frames
from .mixing import cutmix, cutout, mixup
from .tiles import jigsaw, patches, stitch, tilemix

__all__ = [
    "cutmix",
    "cutout",
    "jigsaw",
    "mixup",
    "patches",
    "rotate",
    "shift",
    "shuffle_frames",
    "stitch",
    "tilemix",
]
