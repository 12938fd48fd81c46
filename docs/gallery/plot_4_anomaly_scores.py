"""
Anomaly scores
==============

A small discriminator is trained to distinguish digits from two kinds of negatives: jigsaws of 2x2 tiles, and joined
halves of two digits. Its logit then scores how normal an image is, even for kinds of images that it was not trained on.
"""

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score
from torch import nn

from nda_mm import functional as F
from nda_mm.losses import discriminator_loss

torch.manual_seed(0)
digits = torch.from_numpy(load_digits().images).float()[:, None] / 8 - 1
train, test = digits[:1400], digits[1400:]
network = nn.Sequential(
    nn.Conv2d(1, 32, 3, padding=1), nn.LeakyReLU(0.2), nn.Conv2d(32, 64, 3, stride=2), nn.LeakyReLU(0.2),
    nn.Flatten(), nn.Linear(64 * 9, 1),
)  # fmt: skip
optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
for _ in range(300):
    real = train[torch.randint(len(train), (64,))]
    jigsaw, stitch = F.jigsaw(real, grid=2), F.stitch(real)
    terms = discriminator_loss(network(real), network(jigsaw), network(stitch), kind="logistic", fake_weight=0.5)
    optimizer.zero_grad()
    sum(terms.values()).backward()
    optimizer.step()

sets = {"digits": test, "rotated": test.rot90(1, (2, 3)), "inverted": -test, "jigsaw": F.jigsaw(test, grid=4)}
with torch.no_grad():
    scores = {name: network(images).flatten().numpy() for name, images in sets.items()}
figure, axis = plt.subplots(figsize=(6, 3.5))
for name, values in scores.items():
    auroc = (
        roc_auc_score([1] * len(test) + [0] * len(values), [*scores["digits"], *values]) if name != "digits" else None
    )
    print(name, "mean logit", round(float(values.mean()), 2), "" if auroc is None else f"AUROC {auroc:.3f}")
    axis.hist(values, bins=40, alpha=0.5, label=name if auroc is None else f"{name}, AUROC {auroc:.2f}")
axis.set(xlabel="logit", ylabel="images")
axis.legend()
