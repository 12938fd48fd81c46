"""
Is it a negative at all?
========================

The audit compares the negatives of a transform with real images: how many are equal to one, how near the others come,
and how well a small classifier tells them from real images that it has not seen. Here on scikit-learn's digits. What
lies nearest to the data, such as cutmix, is the hardest to tell; a cutout of a digit may fall on black, and then the
digit is its own negative.
"""

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_digits

from nda_mm.evaluation.audit import NegativeAudit
from nda_mm.evaluation.audit_report import format_reports
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
axis.set(xlim=(0.4, 1.0), xlabel="AUROC of the classifier (0.5: not told from real)")
figure.tight_layout()
