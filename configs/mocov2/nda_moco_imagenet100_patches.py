# MoCo v2 on ImageNet-100 with patch negatives, made and weighted as by Ge et al. (arXiv 2110.14189).
_base_ = "moco_imagenet100.py"

custom_hooks = [
    *_base_.custom_hooks,
    dict(type="nda_mm.NDAContrastHook", negative=dict(type="Patches"), similarity_scale=2.0),
]
