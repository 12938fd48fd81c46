# Anomaly detection with nda_classifier_cifar100, trained with outlier exposure, by OpenOOD v1.5's protocol.
_base_ = "ood_openood_cifar100.py"

custom_hooks = [dict(type="nda_mm.NDAOutlierExposureHook", negative=dict(type="Jigsaw", grid=2))]
