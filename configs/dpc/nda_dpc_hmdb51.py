# DPC on HMDB51 with the blocks that are to be predicted jigsawed: this is all that NDA adds.
_base_ = "dpc_hmdb51.py"

model = dict(negative=dict(type="Jigsaw", grid=2))
