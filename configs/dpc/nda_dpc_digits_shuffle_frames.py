# DPC on moving digits with the frames of each block that is to be predicted shuffled: this is all that NDA adds.
_base_ = "dpc_digits.py"

model = dict(negative=dict(type="ShuffleFrames"))
