# DPC on moving digits with jigsawed target blocks: this is all that NDA adds.
_base_ = "dpc_digits.py"

model = dict(negative=dict(type="Jigsaw", grid=2))
