# DPC on moving digits with shuffled frames in each target block: this is all that NDA adds.
_base_ = "dpc_digits.py"

model = dict(negative=dict(type="ShuffleFrames"))
