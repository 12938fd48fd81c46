"""The colours in which Cityscapes paints its labels, and the 19 classes that are evaluated."""

from __future__ import annotations

from .segmentation_scores import IGNORE

#: The evaluated classes in the order of their training ids.
CLASSES = (
    "road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign", "vegetation", "terrain",
    "sky", "person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle",
)  # fmt: skip

#: Name: RGB. Source: Cordts et al., "The Cityscapes Dataset", CVPR 2016, https://www.cityscapes-dataset.com.
_COLOURS: dict[str, tuple[int, int, int]] = {
    "road": (128, 64, 128), "sidewalk": (244, 35, 232), "building": (70, 70, 70), "wall": (102, 102, 156),
    "fence": (190, 153, 153), "pole": (153, 153, 153), "traffic light": (250, 170, 30), "traffic sign": (220, 220, 0),
    "vegetation": (107, 142, 35), "terrain": (152, 251, 152), "sky": (70, 130, 180), "person": (220, 20, 60),
    "rider": (255, 0, 0), "car": (0, 0, 142), "truck": (0, 0, 70), "bus": (0, 60, 100), "train": (0, 80, 100),
    "motorcycle": (0, 0, 230), "bicycle": (119, 11, 32),
    # labelled, but not evaluated
    "unlabeled": (0, 0, 0), "dynamic": (111, 74, 0), "ground": (81, 0, 81), "parking": (250, 170, 160),
    "rail track": (230, 150, 140), "guard rail": (180, 165, 180), "bridge": (150, 100, 100), "tunnel": (150, 120, 90),
    "caravan": (0, 0, 90), "trailer": (0, 0, 110),
}  # fmt: skip

#: Rows (RGB, class), the class being :data:`IGNORE` where none is evaluated.
PALETTE = tuple((colour, CLASSES.index(name) if name in CLASSES else IGNORE) for name, colour in _COLOURS.items())
