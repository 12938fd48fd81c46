"""Segmenters, and scores for how well their classes agree with the labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from torch import Tensor, nn
from torchvision.transforms.functional import normalize

from nda_mm.checkpoints import load_strictly, read_checkpoint
from nda_mm.compat.safe_load import require_intact
from nda_mm.functional.checks import check_choice
from nda_mm.negatives.external import resize_images

#: Class of pixels that are ignored.
IGNORE = 255

Colors = str | Sequence[tuple[Sequence[int], int]]
IMAGENET_MEAN, IMAGENET_STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


def confusion_matrix(truth: Tensor, predicted: Tensor, num_classes: int) -> Tensor:
    """Count pixels by true and predicted class.

    Args:
        truth: True class of each pixel, in [0, ``num_classes``), or 255 for pixels to ignore.
        predicted: Predicted class of each pixel, in [0, ``num_classes``), or 255 for no class: an error of the true
            class that does not count as a prediction of any other class.
        num_classes: Number of classes, at least 1.

    Shape:
        ``truth`` and ``predicted``: integers of the same shape, any.

    Returns:
        Counts, int64. Rows are true classes and columns predicted classes; the last column counts pixels without a
        prediction. Shape: (num_classes, num_classes + 1).

    Raises:
        ValueError: If the shapes differ or a class is out of range.

    Example:
        >>> confusion_matrix(torch.tensor([0, 0, 1, 255]), torch.tensor([0, 1, 1, 1]), num_classes=2).tolist()
        [[1, 1, 0], [0, 1, 0]]
    """
    if truth.shape != predicted.shape:
        raise ValueError(f"the maps must have the same shape, but got {tuple(truth.shape)}, {tuple(predicted.shape)}")
    for name, classes in (("truth", truth), ("predicted", predicted)):
        if bool(((classes != IGNORE) & ((classes < 0) | (classes >= num_classes))).any()):
            raise ValueError(f"{name} must hold classes from 0 to {num_classes - 1}, or {IGNORE}")
    counts = truth != IGNORE
    rows, columns = truth[counts].long(), predicted[counts].long()
    columns[columns == IGNORE] = num_classes
    cells = torch.bincount(rows * (num_classes + 1) + columns, minlength=num_classes * (num_classes + 1))
    return cells.reshape(num_classes, num_classes + 1)


def segmentation_scores(confusion: Tensor) -> dict[str, float]:
    """Compute pixel accuracy, class accuracy and mean intersection over union.

    Source: Long et al., "Fully Convolutional Networks for Semantic Segmentation", CVPR 2015, section 5,
    https://arxiv.org/abs/1411.4038; the three scores of Isola et al., CVPR 2017, table 1. Classes without any true
    pixel are left out of both means. The authors of Pix2Pix count them as 0, which makes no difference if all classes
    occur, as in Cityscapes' validation set.

    Args:
        confusion: Output of :func:`confusion_matrix`, summed over images.

    Returns:
        ``pixel_accuracy``, ``class_accuracy`` and ``mean_iou`` in [0, 1]; nan if all pixels are ignored.

    Example:
        >>> segmentation_scores(torch.tensor([[1, 1, 0], [0, 2, 0]]))
        {'pixel_accuracy': 0.75, 'class_accuracy': 0.75, 'mean_iou': 0.5833333333333333}
    """
    counts = confusion.double()
    right, of_class = counts.diagonal(), counts.sum(dim=1)
    read_as = counts[:, :-1].sum(dim=0)
    there = of_class > 0
    return {
        "pixel_accuracy": (right.sum() / of_class.sum()).item(),
        "class_accuracy": (right / of_class)[there].mean().item(),
        "mean_iou": (right / (of_class + read_as - right))[there].mean().item(),
    }


def read_colors(images: Tensor, colors: Tensor, classes: Tensor) -> Tensor:
    """Convert images painted in class colors to maps of classes, by the nearest color of each pixel.

    The nearest color is used because painted maps that went through JPEG or a generator contain colors of no class.

    Args:
        images: RGB images in [0, 255], any dtype.
        colors: RGB colors in [0, 255].
        classes: Class of each color; several colors may have the same class.

    Shape:
        ``images`` (N, 3, H, W), ``colors`` (K, 3), ``classes`` (K,), result (N, H, W).

    Returns:
        Classes, int64. If two colors are equally close, the first one is used.

    Example:
        >>> red_and_blue = torch.tensor([[255, 0, 0], [0, 0, 255]])
        >>> read_colors(torch.tensor([200, 30, 90]).reshape(1, 3, 1, 1), red_and_blue, torch.tensor([4, 7]))
        tensor([[[4]]])
    """
    pixels = images.permute(0, 2, 3, 1).float()
    colors = colors.to(pixels)
    # Distances are computed from differences, not a matrix product, so that ties stay ties; and for one image at a
    # time, which limits the memory.
    mode = "donot_use_mm_for_euclid_dist"
    nearest = [torch.cdist(each, colors, compute_mode=mode).argmin(dim=-1) for each in pixels]
    return classes.to(images.device)[torch.stack(nearest)]


class Segmenter(nn.Module):
    """Predicts a class for each pixel; always in ``eval`` mode and without gradients.

    Shape:
        uint8 RGB (N, 3, H, W) to int64 (N, H, W).
    """

    def train(self, mode: bool = True) -> Segmenter:
        """Stay in ``eval`` mode: segmenters are not trained."""
        return super().train(False)


class NetworkSegmenter(Segmenter):
    """Segmenter that uses a network with a logit for each class.

    Args:
        network: Network that maps normalized images (N, 3, h, w) to logits (N, K, h', w'), or to a dict that holds them
            under ``'out'``, as torchvision's networks do.
        size: Height and width to which images are resized first (bilinear), for a network trained at another
            resolution. Defaults to None: no resizing.
        mean, std: Mean and standard deviation of the network's inputs, RGB in [0, 255]. Defaults to those of ImageNet.
        bgr: Whether the network takes BGR. Defaults to False.
        keywords: Further arguments of the network's call; a model of mmengine needs ``mode='tensor'``.
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
        self.network = network
        self.size = size
        self.mean, self.std = list(mean), list(std)
        self.bgr = bgr
        self.keywords = keywords
        self.requires_grad_(False).eval()

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Predict the class with the largest logit at each pixel, after resizing the logits to the images' size."""
        inputs = images.float()
        if self.size is not None:
            height, width = self.size
            inputs = resize_images(inputs, (height, width))
        inputs = normalize(inputs, self.mean, self.std)
        logits = self.network(inputs.flip(1) if self.bgr else inputs, **self.keywords)
        logits = logits["out"] if isinstance(logits, Mapping) else logits
        if logits.ndim != 4 or len(logits) != len(images):
            raise ValueError(f"a segmenter must give logits (N, classes, H, W), but got {tuple(logits.shape)}")
        return F.interpolate(logits.float(), images.shape[-2:], mode="bilinear", align_corners=False).argmax(dim=1)


class ColorSegmenter(Segmenter):
    """Segmenter for images that are painted in the colors of their classes.

    Args:
        colors: ``'cityscapes'`` or rows of (RGB, class); see :func:`palette`.
    """

    def __init__(self, colors: Colors) -> None:
        super().__init__()
        self.colors, self.classes = palette(colors)

    def forward(self, images: Tensor) -> Tensor:
        """Return the class of the nearest color at each pixel."""
        return read_colors(images, self.colors, self.classes)


def cityscapes_palette() -> list[tuple[tuple[int, int, int], int]]:
    """Return the palette of Cityscapes as rows (RGB, class), with class 255 for labels that are not evaluated.

    Source: Cordts et al., "The Cityscapes Dataset", CVPR 2016, https://www.cityscapes-dataset.com, taken from
    torchvision. If two labels share a color, the evaluated one is used.

    Example:
        >>> cityscapes_palette()[0]  # road
        ((128, 64, 128), 0)
    """
    from torchvision.datasets import Cityscapes

    rows: dict[tuple[int, int, int], int] = {}
    for label in sorted(Cityscapes.classes, key=lambda label: label.ignore_in_eval):
        rows.setdefault(label.color, IGNORE if label.ignore_in_eval else label.train_id)
    return list(rows.items())


def palette(colors: Colors) -> tuple[Tensor, Tensor]:
    """Return the colors of a palette and their classes.

    Args:
        colors: ``'cityscapes'``, or rows of (RGB, class), with class 255 for pixels to ignore.

    Returns:
        Colors, shape (K, 3), and classes, shape (K,).

    Raises:
        ValueError: If ``colors`` is neither.

    Example:
        >>> palette([((0, 0, 0), 0), ((255, 255, 255), 1)])[1]
        tensor([0, 1])
    """
    rows = cityscapes_palette() if colors == "cityscapes" else colors
    if isinstance(rows, str) or not rows or not all(len(row) == 2 and len(row[0]) == 3 for row in rows):
        raise ValueError(f"a palette must be 'cityscapes' or rows of (RGB, class), but got {colors!r}")
    return torch.tensor([list(row[0]) for row in rows]), torch.tensor([int(row[1]) for row in rows])


def build_segmenter(cfg: Mapping[str, Any] | Segmenter) -> Segmenter:
    """Build a segmenter from a config.

    * ``dict(type='torchscript', checkpoint=...)`` loads a file of ``torch.jit.save``. Loading does not run Python code
      from the file, but the network in it is a program: only use files from sources that you trust.
    * ``dict(type='mmengine', config=..., checkpoint=...)`` builds the ``model`` of an mmengine project's config, for
      example of mmsegmentation, and loads the checkpoint strictly, without running code. The project must be installed.
    * ``dict(type='colors', colors='cityscapes')`` reads painted labels.

    Configs of networks also take the other arguments of :class:`NetworkSegmenter`.

    Args:
        cfg: One of these configs, or a segmenter, which is returned as is.

    Returns:
        The segmenter.

    Raises:
        ValueError: If the type is unknown or the file does not hold such a network.
        FileNotFoundError: If a file is missing.

    Example:
        >>> build_segmenter(dict(type="fcn"))
        Traceback (most recent call last):
        ValueError: the type of a segmenter must be one of 'torchscript', 'mmengine', 'colors', but got 'fcn'
    """
    if isinstance(cfg, Segmenter):
        return cfg.eval()
    settings = dict(cfg)
    kind = check_choice(settings.pop("type", None), "the type of a segmenter", ("torchscript", "mmengine", "colors"))
    if kind == "colors":
        return ColorSegmenter(**settings)
    if kind == "torchscript":
        return NetworkSegmenter(_torchscript(settings.pop("checkpoint")), **settings)
    network = _mmengine(settings.pop("config"), settings.pop("checkpoint"))
    return NetworkSegmenter(network, **{"mode": "tensor", **settings})


def _torchscript(checkpoint: str | Path) -> nn.Module:
    require_intact(checkpoint)
    try:
        return torch.jit.load(str(checkpoint), map_location="cpu")
    except RuntimeError as error:
        raise ValueError(
            f"{checkpoint} is not a file of torch.jit.save; weights alone need type='mmengine' and a config"
        ) from error


def _mmengine(config: str | Path, checkpoint: str | Path) -> nn.Module:
    cfg = Config.fromfile(str(config))
    with DefaultScope.overwrite_default_scope(cfg.get("default_scope", "mmengine")):
        network = MODELS.build(cfg.model)
    saved = read_checkpoint(checkpoint, needed=())
    load_strictly(network, saved, source=str(checkpoint), target=f"the model of {config}")
    return network
