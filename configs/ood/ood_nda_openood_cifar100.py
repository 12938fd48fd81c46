# Anomaly detection as OpenOOD v1.5 judges it, by nda_classifier_cifar100, which was trained with outlier exposure.
_base_ = "ood_openood_cifar100.py"

custom_hooks = [dict(type="nda_mm.NDAOutlierExposureHook", negative=dict(type="Jigsaw", grid=2))]
