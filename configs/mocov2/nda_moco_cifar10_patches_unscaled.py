# MoCo v2 on CIFAR-10 with patch negatives whose similarities count as they are: what does Ge et al.'s factor do?
_base_ = "moco_cifar10.py"

custom_hooks = [*_base_.custom_hooks, dict(type="nda_mm.NDAContrastHook", negative=dict(type="Patches"))]
