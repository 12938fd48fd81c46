# ResNet-18 for CIFAR-10 at 16x16, trained to be uncertain on tiles of random crops (outlier exposure).
_base_ = "classifier_cifar10_16px.py"

custom_hooks = [dict(type="nda_mm.NDAOutlierExposureHook", negative=dict(type="Patches", size=(0.2, 0.4)))]
