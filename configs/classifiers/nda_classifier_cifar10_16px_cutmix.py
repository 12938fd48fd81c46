# ResNet-18 for CIFAR-10 at 16x16, trained to be uncertain on images with a rectangle from another (outlier exposure).
_base_ = "classifier_cifar10_16px.py"

custom_hooks = [dict(type="nda_mm.NDAOutlierExposureHook", negative=dict(type="CutMix"))]
