# nda_moco_cifar10_patches with similarities of negatives as they are, as for the other negatives.
_base_ = "nda_moco_cifar10_patches.py"

custom_hooks = [*_base_.custom_hooks[:-1], dict(_base_.custom_hooks[-1], similarity_scale=1.0)]
