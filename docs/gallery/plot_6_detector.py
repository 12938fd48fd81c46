"""
What a detector finds
=====================

The recipe ``detection_digits_scenes`` trains a small RetinaNet on scenes of handwritten digits. Its weights after 90 of
its 300 steps come with the documentation. By then it finds most digits, but can't classify them yet. The images
therefore show only where it sees a digit, and its confidence in percent.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from mmengine.structures import InstanceData

from nda_mm.compat import apply_patches
from nda_mm.datasets.toy.digits import Digits
from nda_mm.datasets.toy.digits_scenes import draw_scene
from nda_mm.engine import EnlargedDetVisualizer
from nda_mm.utils.files import recipe_path

apply_patches()
config = Config.fromfile(recipe_path("detection_digits_scenes"))
config.model.test_cfg.nms.class_agnostic = True  # one box for each place
DefaultScope.get_instance("gallery", scope_name=config.default_scope)
detector = MODELS.build(config.model).eval()
detector.load_state_dict(torch.load("../checkpoints/detection_digits_scenes.pth", weights_only=True))

# %%
# Eight scenes with digits that are held out from training:

digits = Digits(split="test")
draw = np.random.default_rng(1)
scenes = [draw_scene(draw, digits.images[..., 0], digits.labels) for _ in range(8)]

from mmdet.structures import DetDataSample  # noqa: E402 (after the patches)

size = dict(img_shape=(96, 96), ori_shape=(96, 96), scale_factor=(1.0, 1.0))
batch = dict(
    inputs=[torch.from_numpy(scene.image[..., ::-1].copy()).permute(2, 0, 1) for scene in scenes],  # BGR, as read
    data_samples=[DetDataSample(metainfo=dict(size, img_id=index)) for index in range(len(scenes))],
)
with torch.no_grad():
    found = detector.test_step(batch)

# %%
# Each image shows the annotation on the left, and the detections with a score above 0.25 on the right:

visualizer = EnlargedDetVisualizer(min_side=288, font_size=8)
visualizer.dataset_meta = dict(classes=["digit"])
figure, axes = plt.subplots(4, 2, figsize=(9, 9.5))
for axis, scene, sample in zip(axes.flat, scenes, found):
    boxes = torch.from_numpy(scene.boxes).float()
    sample.gt_instances = InstanceData(bboxes=boxes, labels=torch.zeros(len(boxes), dtype=torch.long))
    sample.pred_instances.labels.zero_()
    visualizer.add_datasample("scene", scene.image, sample, pred_score_thr=0.25)
    axis.imshow(visualizer.get_image())
    axis.axis("off")
figure.tight_layout()
