# DPC on moving digits with target blocks stitched from two clips: this is all that NDA adds.
_base_ = "dpc_digits.py"

model = dict(negative=dict(type="Stitch"))
