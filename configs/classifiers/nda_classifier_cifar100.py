# ResNet-18 for CIFAR-100, certain of no class on jigsaws of its images (outlier exposure).
_base_ = "classifier_cifar100.py"

custom_hooks = [dict(type="nda_mm.NDAOutlierExposureHook", negative=dict(type="Jigsaw", grid=2))]
