# ResNet-18 for CIFAR-100, trained to be uncertain on jigsaws of its images (outlier exposure).
_base_ = "classifier_cifar100.py"

custom_hooks = [dict(type="nda_mm.NDAOutlierExposureHook", negative=dict(type="Jigsaw", grid=2))]
