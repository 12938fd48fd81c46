# MoCo v2 on CIFAR-10 with patch negatives, made and weighted as by Ge et al. (arXiv 2110.14189) on ImageNet.
_base_ = "moco_cifar10.py"

custom_hooks = [
    *_base_.custom_hooks,
    dict(type="nda_mm.NDAContrastHook", negative=dict(type="Patches"), similarity_scale=2.0),
]
