"""What reads classes in the pixels of an image: a trained network from a file, or colours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from torch import Tensor, nn

from nda_mm.checkpoints import read_checkpoint
from nda_mm.compat.safe_load import require_intact

from .cityscapes_colours import PALETTE
from .segmentation_scores import classes_of_colours

Colours = str | Sequence[tuple[Sequence[int], int]]
IMAGENET_MEAN, IMAGENET_STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


class Segmenter(nn.Module):
    """Reads a class in each pixel; always in ``eval`` mode and without gradients.

    Shape:
        uint8 RGB (N, 3, H, W) to int64 (N, H, W).
    """

    def train(self, mode: bool = True) -> Segmenter:
        """It judges and is not trained."""
        return super().train(False)


class NetworkSegmenter(Segmenter):
    """A network that gives a logit for each class.

    Args:
        network: Takes normalised images (N, 3, h, w) and returns logits (N, K, h', w'), or a dict with them as
            ``'out'`` as torchvision's networks do; with ``mode='tensor'`` if it is a model of mmengine.
        size: Height and width to which images are brought before, bilinearly; for a network trained at another
            resolution. Default None: as they come.
        mean, std: Of the network's inputs, in RGB and [0, 255]. Default: ImageNet's.
        bgr: Whether the network takes BGR. Default False.
        keywords: Further arguments of the network's call.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        size: Sequence[int] | None = None,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        bgr: bool = False,
        **keywords: Any,
    ) -> None:
        super().__init__()
        if size is not None and (len(size) != 2 or min(size) < 1):
            raise ValueError(f"size must be a height and a width in pixels, but came as {size!r}")
        self.network = network
        self.size = None if size is None else (int(size[0]), int(size[1]))
        self.bgr = bgr
        self.keywords = keywords
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).reshape(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).reshape(-1, 1, 1), persistent=False)
        self.requires_grad_(False).eval()

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """The class of the largest logit in each pixel; logits are brought to the images' size, not classes."""
        inputs = images.float()
        if self.size is not None:
            inputs = F.interpolate(inputs, self.size, mode="bilinear", align_corners=False, antialias=True)
        inputs = (inputs - self.mean) / self.std
        logits = self.network(inputs.flip(1) if self.bgr else inputs, **self.keywords)
        logits = logits["out"] if isinstance(logits, Mapping) else logits
        if not isinstance(logits, Tensor) or logits.ndim != 4 or len(logits) != len(images):
            got = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise ValueError(f"a segmenter gives logits (N, classes, H, W) for {len(images)} images, but gave {got}")
        return F.interpolate(logits.float(), images.shape[-2:], mode="bilinear", align_corners=False).argmax(dim=1)


class ColourSegmenter(Segmenter):
    """Reads the classes of images that are painted in their colours.

    Args:
        colours: ``'cityscapes'`` or rows of (RGB, class); see :func:`palette`.
    """

    def __init__(self, colours: Colours) -> None:
        super().__init__()
        self.colours, self.classes = palette(colours)

    def forward(self, images: Tensor) -> Tensor:
        """The class of the nearest colour in each pixel."""
        return classes_of_colours(images, self.colours, self.classes)


def palette(colours: Colours) -> tuple[Tensor, Tensor]:
    """Colours (K, 3) and what they stand for (K,).

    Args:
        colours: ``'cityscapes'``, or rows of (RGB, class), the class 255 where pixels don't count.

    Raises:
        ValueError: If it is neither.

    Example:
        >>> palette([((0, 0, 0), 0), ((255, 255, 255), 1)])[1]
        tensor([0, 1])
    """
    rows = PALETTE if isinstance(colours, str) and colours == "cityscapes" else colours
    well_formed = (
        not isinstance(rows, str) and len(rows) > 0 and all(len(row) == 2 and len(row[0]) == 3 for row in rows)
    )
    if not well_formed:
        raise ValueError(f"a palette is 'cityscapes' or rows of (RGB, class), but came as {colours!r}")
    return torch.tensor([list(row[0]) for row in rows]), torch.tensor([int(row[1]) for row in rows])


def build_segmenter(cfg: Mapping[str, Any] | Segmenter) -> Segmenter:
    """Build what reads the classes.

    ``dict(type='torchscript', checkpoint=...)`` is a file of ``torch.jit.save``. Loading runs no Python from it, but
    the network in it is a program: take it from those whose programs you would run.
    ``dict(type='mmengine', config=..., checkpoint=...)`` builds ``model`` of a config of an mmengine project, such as
    mmsegmentation, and loads the checkpoint strictly and without running code; the project must be installed.
    ``dict(type='colours', colours='cityscapes')`` reads painted labels. Networks take the further arguments of
    :class:`NetworkSegmenter`.

    Args:
        cfg: One of these, or a segmenter, which passes through.

    Returns:
        The segmenter.

    Raises:
        ValueError: If the type is unknown or the file is no such network.
        FileNotFoundError: If a file is not there.
        TypeError: If ``cfg`` is something else.

    Example:
        >>> build_segmenter(dict(type="fcn"))
        Traceback (most recent call last):
        ValueError: the type of a segmenter must be one of torchscript, mmengine, colours, but got 'fcn'
    """
    if isinstance(cfg, Segmenter):
        return cfg.eval()
    if not isinstance(cfg, Mapping):
        raise TypeError(f"a segmenter is a dict with a 'type', or a Segmenter, but got {cfg!r}")
    settings = dict(cfg)
    kind = settings.pop("type", None)
    if kind == "colours":
        return ColourSegmenter(**settings)
    if kind == "torchscript":
        return NetworkSegmenter(_torchscript(settings.pop("checkpoint")), **settings)
    if kind == "mmengine":
        network = _mmengine(settings.pop("config"), settings.pop("checkpoint"))
        return NetworkSegmenter(network, **{"mode": "tensor", **settings})
    raise ValueError(f"the type of a segmenter must be one of torchscript, mmengine, colours, but got {kind!r}")


def _torchscript(checkpoint: str | Path) -> nn.Module:
    if not Path(checkpoint).is_file():
        raise FileNotFoundError(f"There is no segmenter {checkpoint}.")
    require_intact(checkpoint)
    try:
        return torch.jit.load(str(checkpoint), map_location="cpu")
    except RuntimeError as error:
        reason = str(error).split("\n")[0]
        raise ValueError(
            f"{checkpoint} is no network that torch.jit.save wrote ({reason}). Weights alone need the config of their "
            "network: dict(type='mmengine', config=..., checkpoint=...)."
        ) from error


def _mmengine(config: str | Path, checkpoint: str | Path) -> nn.Module:
    cfg = Config.fromfile(str(config))
    with DefaultScope.overwrite_default_scope(cfg.get("default_scope", "mmengine")):
        network = MODELS.build(cfg.model)
    weights = read_checkpoint(checkpoint, needed=())
    weights = weights.get("state_dict", weights)
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(f"{checkpoint} does not fit the model of {config}: {error}") from error
    return network
