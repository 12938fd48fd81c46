"""How well one labelling of pixels agrees with another: pure functions from class maps to scores."""

from __future__ import annotations

import torch
from torch import Tensor

IGNORE = 255


def confusion_matrix(truth: Tensor, predicted: Tensor, num_classes: int, ignore: int = IGNORE) -> Tensor:
    """Count pixels by their class and the class that was read.

    Args:
        truth: Class of each pixel, in [0, ``num_classes``), or ``ignore``.
        predicted: Class read in each pixel, in [0, ``num_classes``), or ``ignore`` where none was: an error of the
            pixel's class that no other class is charged with.
        num_classes: Number of classes, at least 1.
        ignore: What marks pixels that don't count. Default 255.

    Shape:
        ``truth`` and ``predicted`` alike, any; integers.

    Returns:
        int64 (num_classes, num_classes + 1): row the class, column the one that was read, the last column none.

    Raises:
        ValueError: If shapes differ or a class is out of range.
        TypeError: If they are no integers.

    Example:
        >>> confusion_matrix(torch.tensor([0, 0, 1, 255]), torch.tensor([0, 1, 1, 1]), num_classes=2).tolist()
        [[1, 1, 0], [0, 1, 0]]
    """
    if truth.shape != predicted.shape:
        raise ValueError(f"the maps must be of one shape, but are {tuple(truth.shape)} and {tuple(predicted.shape)}")
    for name, classes in (("truth", truth), ("predicted", predicted)):
        if classes.is_floating_point() or classes.dtype == torch.bool:
            raise TypeError(f"{name} must hold integers, but is of {classes.dtype}")
        outside = classes[(classes != ignore) & ((classes < 0) | (classes >= num_classes))]
        if len(outside):
            raise ValueError(
                f"{name} holds class {int(outside[0])}, but there are {num_classes} classes, and {ignore} for none"
            )
    counts = truth != ignore
    rows, columns = truth[counts].long(), predicted[counts].long()
    columns = columns.where(columns != ignore, torch.full_like(columns, num_classes))
    cells = torch.bincount(rows * (num_classes + 1) + columns, minlength=num_classes * (num_classes + 1))
    return cells.reshape(num_classes, num_classes + 1)


def segmentation_scores(confusion: Tensor) -> dict[str, float]:
    """Per-pixel accuracy, class accuracy and mean intersection over union.

    Source: Long et al., "Fully Convolutional Networks for Semantic Segmentation", CVPR 2015, section 5,
    https://arxiv.org/abs/1411.4038; the three scores of Isola et al., CVPR 2017, table 1. Classes without any pixel in
    the truth are left out of both means; the authors of Pix2Pix count them as 0, which makes no difference where all
    classes occur, as in Cityscapes' validation set.

    Args:
        confusion: What :func:`confusion_matrix` gives, summed over images.

    Returns:
        ``pixel_accuracy``, ``class_accuracy`` and ``mean_iou`` in [0, 1]; nan where no pixel counts.

    Raises:
        ValueError: If it is no such matrix.

    Example:
        >>> segmentation_scores(torch.tensor([[1, 1, 0], [0, 2, 0]]))
        {'pixel_accuracy': 0.75, 'class_accuracy': 0.75, 'mean_iou': 0.5833333333333333}
    """
    if confusion.ndim != 2 or confusion.shape[1] != confusion.shape[0] + 1:
        raise ValueError(f"a confusion matrix is (classes, classes + 1), but came as {tuple(confusion.shape)}")
    counts = confusion.double()
    right, of_class = counts.diagonal(), counts.sum(dim=1)
    read_as = counts[:, :-1].sum(dim=0)
    there = of_class > 0
    return {
        "pixel_accuracy": (right.sum() / of_class.sum()).item(),
        "class_accuracy": (right / of_class)[there].mean().item(),
        "mean_iou": (right / (of_class + read_as - right))[there].mean().item(),
    }


def classes_of_colours(images: Tensor, colours: Tensor, classes: Tensor) -> Tensor:
    """Read a map of classes off an image that was painted in their colours, by the nearest colour of each pixel.

    Nearest, as painted maps that went through JPEG or a generator hold colours that no class has.

    Args:
        images: RGB in [0, 255], any dtype.
        colours: RGB in [0, 255].
        classes: What each colour stands for; several may stand for one.

    Shape:
        ``images`` (N, 3, H, W), ``colours`` (K, 3), ``classes`` (K,), result (N, H, W).

    Returns:
        int64. Of two colours equally near, the first counts.

    Example:
        >>> red_and_blue = torch.tensor([[255, 0, 0], [0, 0, 255]])
        >>> classes_of_colours(torch.tensor([200, 30, 90]).reshape(1, 3, 1, 1), red_and_blue, torch.tensor([4, 7]))
        tensor([[[4]]])
    """
    nearest = torch.full(images.shape[:1] + images.shape[2:], torch.inf, device=images.device)
    found = torch.zeros(nearest.shape, dtype=torch.long, device=images.device)
    images = images.float()
    for colour, name in zip(colours.to(images).unbind(), classes.tolist(), strict=True):  # one at a time: 35 maps at
        distance = (images - colour[:, None, None]).square().sum(dim=1)  # once would be large
        closer = distance < nearest
        nearest = distance.where(closer, nearest)
        found[closer] = name
    return found
