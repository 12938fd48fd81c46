"""
A GAN of digits over time
=========================

This example trains the recipe ``nda_biggan_digits`` for 150 of its 2,500 steps, and draws samples of every class on the
way. The discriminator sees jigsaws of real digits as fake, in addition to the generator's images.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
from mmengine.config import Config
from mmengine.runner import Runner

from nda_mm.compat import apply_patches
from nda_mm.utils.files import recipe_path

apply_patches()
folder = Path(tempfile.mkdtemp())
config = Config.fromfile(recipe_path("nda_biggan_digits"))
config.merge_from_dict({"train_cfg.max_iters": 150, "work_dir": str(folder), "log_level": "WARNING"})
config.val_cfg = config.val_dataloader = config.val_evaluator = None
config.test_cfg = config.test_dataloader = config.test_evaluator = None
config.default_hooks.checkpoint.save_best = None
config.custom_hooks[-1].update(interval=50, scale=3)  # hook that writes sample grids
Runner.from_cfg(config).train()

# %%
# Real digits and the negatives made from them:

plt.figure(figsize=(8, 3))
plt.imshow(plt.imread(folder / "negatives.png"))
plt.axis("off")

# %%
# Samples of the generator's EMA, with one row per class and always from the same noise:

figure, axes = plt.subplots(1, 3, figsize=(9, 4))
for axis, step in zip(axes, (50, 100, 150)):
    axis.imshow(plt.imread(folder / "samples" / f"iter_{step}.png"))
    axis.set(title=f"{step} steps")
    axis.axis("off")
figure.tight_layout()
