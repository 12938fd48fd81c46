# DPC on moving digits with the blocks that are to be predicted stitched of two clips: this is all that NDA adds.
_base_ = "dpc_digits.py"

model = dict(negative=dict(type="Stitch"))
