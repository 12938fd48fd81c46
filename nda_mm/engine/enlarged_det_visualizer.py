"""A visualizer that draws detections on small images at a readable size."""

from __future__ import annotations

from typing import Any

import numpy as np
from mmdet.structures import DetDataSample
from mmdet.visualization import DetLocalVisualizer
from PIL import Image

from nda_mm.registry import VISUALIZERS

#: Segmentations are not enlarged, so images that have one keep their size.
_MASKS = ("gt_sem_seg", "pred_sem_seg", "gt_panoptic_seg", "pred_panoptic_seg")


@VISUALIZERS.register_module()
class EnlargedDetVisualizer(DetLocalVisualizer):
    """mmdet's visualizer, but with small images and their boxes enlarged before drawing.

    mmdet draws at the image's original size, in a font of 6 to 13 points that depends on the area of the box. On small
    images, such labels cover the objects. Overrides ``add_datasample`` and ``draw_texts`` of mmdet 3.3. Images with
    masks or segmentations keep their size.

    Args:
        name: Name of the visualizer instance. Defaults to 'visualizer'.
        min_side: Minimum length of a drawing's shorter side in pixels. Smaller images are enlarged by an integer
            factor; 0 disables enlarging. Defaults to 480.
        font_size: Font size of the labels, in points. Defaults to 10.
        line_width: Line width of the boxes, in pixels. Defaults to 2.
        **kwargs: Other arguments of ``DetLocalVisualizer``.

    Example:
        >>> visualizer = EnlargedDetVisualizer("example", min_side=300)
        >>> visualizer.add_datasample("image", np.zeros((96, 128, 3), np.uint8))
        >>> visualizer.get_image().shape
        (384, 512, 3)
    """

    def __init__(
        self,
        name: str = "visualizer",
        *args: Any,
        min_side: int = 480,
        font_size: int = 10,
        line_width: float = 2,
        **kwargs: Any,
    ) -> None:
        super().__init__(name, *args, line_width=line_width, **kwargs)
        self.min_side, self.font_size = min_side, font_size

    def add_datasample(
        self, name: str, image: np.ndarray, data_sample: DetDataSample | None = None, *args: Any, **kwargs: Any
    ) -> None:
        """Draw an image with its ground-truth and predicted boxes, enlarged if it is small; see mmdet's method."""
        factor = -(-self.min_side // min(image.shape[:2]))
        if factor > 1 and not _has_masks(data_sample):
            size = (factor * image.shape[1], factor * image.shape[0])
            pixels = image.clip(0, 255).astype(np.uint8)
            image = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))
            data_sample = _enlarge(data_sample, factor) if data_sample is not None else None
        super().add_datasample(name, image, data_sample, *args, **kwargs)

    def draw_texts(self, *args: Any, **kwargs: Any) -> Any:
        """Draw labels in ``font_size``, regardless of the area of their box."""
        return super().draw_texts(*args, **{**kwargs, "font_sizes": self.font_size})


def _has_masks(data_sample: DetDataSample | None) -> bool:
    if data_sample is None:
        return False
    parts = [data_sample.get(name) for name in ("gt_instances", "pred_instances")]
    return any(name in data_sample for name in _MASKS) or any("masks" in part for part in parts if part is not None)


def _enlarge(data_sample: DetDataSample, factor: int) -> DetDataSample:
    """Return a copy with all boxes scaled to the enlarged image."""
    enlarged = data_sample.clone()
    for name in ("gt_instances", "pred_instances"):
        if name in data_sample:
            instances = data_sample.get(name).clone()
            if "bboxes" in instances:
                boxes = instances.bboxes
                instances.bboxes = getattr(boxes, "tensor", boxes) * factor  # a tensor, or boxes that hold one
            setattr(enlarged, name, instances)
    return enlarged
