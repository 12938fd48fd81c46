"""Scores of class maps, against a loop over pixels and hand cases."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from nda_mm.evaluation.segmentation_scores import classes_of_colours, confusion_matrix, segmentation_scores


def by_loop(truth: Tensor, predicted: Tensor, num_classes: int) -> dict[str, float]:
    """The three scores by counting, pixel by pixel and class by class."""
    pixels = [(t, p) for t, p in zip(truth.flatten().tolist(), predicted.flatten().tolist(), strict=True) if t != 255]
    accuracies, overlaps = [], []
    for name in range(num_classes):
        wanted = sum(t == name for t, _ in pixels)
        if wanted == 0:
            continue
        both = sum(t == name and p == name for t, p in pixels)
        either = sum(t == name or p == name for t, p in pixels)
        accuracies.append(both / wanted)
        overlaps.append(both / either)
    return {
        "pixel_accuracy": sum(t == p for t, p in pixels) / len(pixels),
        "class_accuracy": sum(accuracies) / len(accuracies),
        "mean_iou": sum(overlaps) / len(overlaps),
    }


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("num_classes", [1, 2, 7])
@pytest.mark.parametrize("holes", [False, True])
def test_scores_are_the_loops(seed: int, num_classes: int, holes: bool) -> None:
    draw = torch.Generator().manual_seed(seed)
    truth, predicted = torch.randint(0, num_classes, (2, 3, 5, 6), generator=draw)
    predicted = predicted.where(torch.rand(predicted.shape, generator=draw) < 0.5, truth)
    if holes:  # pixels that don't count, pixels where nothing was read, a class that never occurs
        truth[torch.rand(truth.shape, generator=draw) < 0.2] = 255
        predicted[torch.rand(truth.shape, generator=draw) < 0.2] = 255
        truth[truth == 2] = 0
    matrix = confusion_matrix(truth, predicted, num_classes)
    assert int(matrix.sum()) == int((truth != 255).sum())
    assert segmentation_scores(matrix) == pytest.approx(by_loop(truth, predicted, num_classes), abs=1e-12)
    # images one by one are all at once
    parts = [confusion_matrix(t, p, num_classes) for t, p in zip(truth, predicted, strict=True)]
    assert torch.equal(sum(parts), matrix)


def test_hand_case() -> None:
    truth = torch.tensor([[0, 0, 0, 0], [1, 1, 255, 2]])
    predicted = torch.tensor([[0, 0, 0, 1], [1, 0, 1, 255]])
    scores = segmentation_scores(confusion_matrix(truth, predicted, 4))
    assert scores["pixel_accuracy"] == pytest.approx(4 / 7)
    assert scores["class_accuracy"] == pytest.approx((3 / 4 + 1 / 2 + 0) / 3)  # class 3 does not occur
    assert scores["mean_iou"] == pytest.approx((3 / 5 + 1 / 3 + 0) / 3)


def test_nothing_that_counts_is_nan() -> None:
    scores = segmentation_scores(confusion_matrix(torch.full((4,), 255), torch.zeros(4, dtype=torch.long), 3))
    assert all(math.isnan(value) for value in scores.values())


def test_refusals() -> None:
    zeros = torch.zeros(2, 2, dtype=torch.long)
    with pytest.raises(ValueError, match=r"of one shape, but are \(2, 2\) and \(4,\)"):
        confusion_matrix(zeros, zeros.flatten(), 2)
    with pytest.raises(ValueError, match="predicted holds class 3, but there are 3 classes"):
        confusion_matrix(zeros, zeros + 3, 3)
    with pytest.raises(ValueError, match="truth holds class -1"):
        confusion_matrix(zeros - 1, zeros, 3)
    with pytest.raises(TypeError, match="truth must hold integers, but is of torch.float32"):
        confusion_matrix(zeros.float(), zeros, 3)
    with pytest.raises(ValueError, match=r"is \(classes, classes \+ 1\), but came as \(3, 3\)"):
        segmentation_scores(torch.zeros(3, 3))


def test_the_nearest_colour_is_the_loops() -> None:
    draw = torch.Generator().manual_seed(0)
    colours, classes = torch.randint(0, 256, (6, 3), generator=draw), torch.tensor([3, 1, 255, 0, 3, 2])
    images = torch.randint(0, 256, (2, 3, 4, 5), generator=draw, dtype=torch.uint8)
    found = classes_of_colours(images, colours, classes)
    for index in torch.cartesian_prod(torch.arange(2), torch.arange(4), torch.arange(5)).tolist():
        n, h, w = index
        distances = [sum((int(images[n, c, h, w]) - int(row[c])) ** 2 for c in range(3)) for row in colours]
        assert int(found[n, h, w]) == int(classes[distances.index(min(distances))])


def test_painted_maps_are_read_back_through_noise() -> None:
    from nda_mm.evaluation.cityscapes_colours import CLASSES, PALETTE

    colours = torch.tensor([list(colour) for colour, _ in PALETTE])
    classes = torch.tensor([name for _, name in PALETTE])
    assert len(CLASSES) == 19 and sorted(set(classes.tolist())) == [*range(19), 255]
    assert len({colour for colour, _ in PALETTE}) == len(PALETTE)  # no two alike
    chosen = torch.arange(len(PALETTE)).reshape(1, 1, -1)
    painted = colours[chosen].permute(0, 3, 1, 2)
    noise = torch.randint(-3, 4, painted.shape, generator=torch.Generator().manual_seed(0))
    assert torch.equal(classes_of_colours((painted + noise).clamp(0, 255), colours, classes), classes[chosen])
    # named ones, as the data set's site shows them
    assert (PALETTE[0], PALETTE[13]) == (((128, 64, 128), 0), ((0, 0, 142), 13))
    assert (CLASSES[0], CLASSES[13], CLASSES[18]) == ("road", "car", "bicycle")
