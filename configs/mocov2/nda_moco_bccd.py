# MoCo v2 on patches of BCCD's photographs with jigsaw negatives: this is all that NDA adds.
_base_ = "moco_bccd.py"

custom_hooks = [*_base_.custom_hooks, dict(type="nda_mm.NDAContrastHook", negative=dict(type="Jigsaw", grid=2))]
