# Anomaly detection with the logits of nda_classifier_digits, which was trained with outlier exposure.
_base_ = "ood_classifier_digits.py"

custom_hooks = [dict(type="nda_mm.NDAOutlierExposureHook", negative=dict(type="Jigsaw", grid=2))]
