# The small classifier of digits, certain of no class on jigsaws of them (outlier exposure).
_base_ = "classifier_digits.py"

custom_hooks = [dict(type="nda_mm.NDAOutlierExposureHook", negative=dict(type="Jigsaw", grid=2))]
