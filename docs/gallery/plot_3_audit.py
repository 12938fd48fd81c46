"""
Is it a negative at all?
========================

The audit compares the negatives of a transform with real images. It measures how many are equal to one, how close the
others are, and how well a small classifier distinguishes them from held-out real images. This example uses
scikit-learn's digits. Negatives near the data, such as those of cutmix, are the hardest to distinguish. If a cutout
falls on the black background, the negative is the digit itself.
"""

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_digits

from nda_mm.evaluation.audit import NegativeAudit, format_reports
from nda_mm.negatives import build_negative

digits = torch.from_numpy(load_digits().images).mul(15.9).byte()[:, None]
audit = NegativeAudit(digits, samples=400)
reports = [
    audit.measure(name, build_negative(dict(type=name)))
    for name in ("Jigsaw", "Stitch", "Shift", "Mixup", "CutMix", "Cutout", "Patches", "TileMix")
]
print(format_reports(reports))

# %%
# ``tools/audit_negatives.py`` does this for a recipe or for a folder of images.

values = [report.classifier.value for report in reports]
figure, axis = plt.subplots(figsize=(6, 3))
axis.barh([report.name for report in reports], values, color="0.6")
axis.axvline(0.5, color="k", linestyle=":")
axis.set(xlim=(0.4, 1.0), xlabel="AUROC of the classifier (0.5: not distinguished from real)")
figure.tight_layout()
