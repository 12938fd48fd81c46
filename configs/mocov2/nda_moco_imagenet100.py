# MoCo v2 on ImageNet-100 with jigsaw negatives: this is all that NDA adds.
_base_ = "moco_imagenet100.py"

custom_hooks = [*_base_.custom_hooks, dict(type="nda_mm.NDAContrastHook", negative=dict(type="Jigsaw", grid=2))]
