# MoCo on handwritten digits with cutout negatives.
_base_ = "moco_digits.py"

custom_hooks = [*_base_.custom_hooks, dict(type="nda_mm.NDAContrastHook", negative=dict(type="Cutout"))]
