"""Detections on small images are drawn large enough to read."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("mmdet")

from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData, PixelData

from nda_mm.engine import EnlargedDetVisualizer


def detection(**parts: Any) -> DetDataSample:
    box = torch.tensor([[10.0, 20.0, 40.0, 50.0]])
    found = InstanceData(bboxes=box, labels=torch.tensor([0]), scores=torch.tensor([0.9]))
    sample = DetDataSample(gt_instances=InstanceData(bboxes=box, labels=torch.tensor([0])), pred_instances=found)
    for name, value in parts.items():
        setattr(sample, name, value)
    return sample


def test_a_small_image_and_its_boxes_are_enlarged_together() -> None:
    visualizer = EnlargedDetVisualizer("small", min_side=200, bbox_color=(255, 0, 0))
    visualizer.dataset_meta = dict(classes=("thing",))
    sample = detection()
    visualizer.add_datasample("image", np.zeros((64, 80, 3), np.uint8), sample)
    drawn = visualizer.get_image()
    assert drawn.shape == (4 * 64, 2 * 4 * 80, 3)  # four times, annotation and detection side by side
    for half in (drawn[:, :320], drawn[:, 320:]):
        assert half[140, 38:43, 0].max() > 150  # the left edge, at 4 * 10
        assert half[140, 158:163, 0].max() > 150  # the right one, at 4 * 40
        assert half[140, 60:140].max() < 60  # nothing is drawn between them
    assert sample.pred_instances.bboxes.tolist() == [[10.0, 20.0, 40.0, 50.0]]  # what is measured stays


def test_large_images_and_masks_keep_their_size() -> None:
    visualizer = EnlargedDetVisualizer("large", min_side=64)
    visualizer.add_datasample("image", np.zeros((64, 80, 3), np.uint8), detection())
    assert visualizer.get_image().shape == (64, 160, 3)
    segmentation = PixelData(sem_seg=torch.zeros(1, 32, 40, dtype=torch.long))
    visualizer.dataset_meta = dict(classes=("thing",), palette=[(255, 0, 0)])
    visualizer.add_datasample("image", np.zeros((32, 40, 3), np.uint8), detection(gt_sem_seg=segmentation))
    assert visualizer.get_image().shape == (32, 80, 3)
