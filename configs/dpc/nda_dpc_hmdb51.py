# DPC on HMDB51 with jigsawed target blocks: this is all that NDA adds.
_base_ = "dpc_hmdb51.py"

model = dict(negative=dict(type="Jigsaw", grid=2))
