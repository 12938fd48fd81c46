# DPC on UCF101 with jigsawed target blocks: this is all that NDA adds.
_base_ = "dpc_ucf101.py"

model = dict(negative=dict(type="Jigsaw", grid=2))
