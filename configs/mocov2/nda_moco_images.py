# MoCo v2 on a folder of your own images with jigsaw negatives: this is all that NDA adds.
_base_ = "moco_images.py"

custom_hooks = [*_base_.custom_hooks, dict(type="nda_mm.NDAContrastHook", negative=dict(type="Jigsaw", grid=2))]
