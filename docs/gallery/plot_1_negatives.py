"""
Every negative on a photograph
==============================

Crops from the two photographs that come with scikit-learn, and the negatives that each transform makes from them.
"""

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_sample_images

from nda_mm import functional as F

photographs = [torch.from_numpy(image).permute(2, 0, 1) for image in load_sample_images().images]
crops = torch.stack(
    [photo[:, top : top + 256, left : left + 256] for photo in photographs for top, left in [(60, 40), (120, 330)]]
)

negatives = {"real": lambda x, **_: x} | {
    name: getattr(F, name) for name in sorted(F.__all__) if name != "shuffle_frames"
}
figure, axes = plt.subplots(len(crops), len(negatives), figsize=(1.5 * len(negatives), 1.5 * len(crops)))
for column, (name, make) in enumerate(negatives.items()):
    made = make(crops, generator=torch.Generator().manual_seed(1))
    axes[0, column].set_title(name)
    for row, image in enumerate(made):
        axes[row, column].imshow(image.permute(1, 2, 0))
        axes[row, column].axis("off")
figure.tight_layout()

# %%
# A negative is never equal to its image, and random draws are made separately for each image of the batch.
for name in list(negatives)[1:]:
    made = negatives[name](crops)
    assert not (made == crops).flatten(1).all(dim=1).any()
