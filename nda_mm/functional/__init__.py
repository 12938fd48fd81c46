"""What a negative is: pure functions of a batch, on torch alone.

Every function takes a batch of images ``(B, C, H, W)`` or clips ``(B, C, T, H, W)`` of any floating dtype or uint8 on
any device and returns a new tensor of the same shape, dtype, device, memory format and value range, in which each
sample has been changed by its own draws. ``generator`` makes the draws reproducible. A clip is changed alike in all
of its frames.

Each function draws, and then applies what was drawn by a function such as ``tiles.apply_tiles``. Call the latter to
change several tensors alike, such as images and their masks.

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
