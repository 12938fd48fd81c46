# MoCo v2 on CIFAR-10 with patch negatives and unscaled similarities, to measure the effect of Ge et al.'s factor.
_base_ = "moco_cifar10.py"

custom_hooks = [*_base_.custom_hooks, dict(type="nda_mm.NDAContrastHook", negative=dict(type="Patches"))]
