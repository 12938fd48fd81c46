# DPC on Kinetics-400 with jigsawed target blocks: this is all that NDA adds.
_base_ = "dpc_k400.py"

model = dict(negative=dict(type="Jigsaw", grid=2))
