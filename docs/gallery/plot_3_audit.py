"""
Is it a negative at all?
========================

The audit asks a small classifier to tell negatives from real images that it has not seen. Here on scikit-learn's
digits: the lower the AUROC, the nearer the negatives lie to the data. A negative that equals a real image is none, and
is counted: cutout of a digit may fall on black.
"""

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import PolynomialFeatures

from nda_mm import functional as F

digits = torch.from_numpy(load_digits().images).float()[:, None] / 16
made_of, held_out = digits[:900], digits[900:]

scores = {}
for name in ("cutmix", "mixup", "stitch", "jigsaw", "shift", "cutout"):
    negatives = getattr(F, name)(made_of, generator=torch.Generator().manual_seed(0))
    unchanged = (negatives == made_of).flatten(1).all(dim=1).float().mean().item()
    images = torch.cat([held_out, negatives[: len(held_out)]]).flatten(1).numpy()
    truth = [0] * len(held_out) + [1] * min(len(held_out), len(negatives))
    train = torch.randperm(len(truth), generator=torch.Generator().manual_seed(0)).numpy() % 2 == 0
    features = PolynomialFeatures(2, include_bias=False).fit_transform(images[:, ::2])
    labels = torch.tensor(truth).numpy()
    classifier = LogisticRegression(max_iter=200, C=0.1).fit(features[train], labels[train])
    scores[name] = roc_auc_score(labels[~train], classifier.decision_function(features[~train]))
    print(f"{name:8s} AUROC {scores[name]:.3f}, equal to their source {100 * unchanged:.1f} %")

figure, axis = plt.subplots(figsize=(6, 3))
axis.barh(list(scores), list(scores.values()), color="0.6")
axis.axvline(0.5, color="k", linestyle=":")
axis.set(xlim=(0.4, 1.0), xlabel="AUROC of the classifier (0.5: not told from real)")
figure.tight_layout()

# %%
# ``tools/audit_negatives.py`` does this with a convolutional network, out of fold, with intervals and a verdict.
