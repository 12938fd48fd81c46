# The small digits classifier, trained to be uncertain on jigsaws of digits (outlier exposure).
_base_ = "classifier_digits.py"

custom_hooks = [dict(type="nda_mm.NDAOutlierExposureHook", negative=dict(type="Jigsaw", grid=2))]
