# A linear classifier on DPC's encoder, which is frozen: its normalizations stay at the running statistics of the
# pretraining, its dropout rests, so that a clip has the same features throughout. The encoder must be named; with none,
# or one that does not fit, the run stops before it trains on random features.
_base_ = ["dpc_finetuning.py"]

model = dict(backbone=dict(frozen=True, init_cfg=dict(type="Pretrained", checkpoint="")))
optim_wrapper = dict(paramwise_cfg=None)
custom_hooks = [
    dict(type="nda_mm.PretrainedCheckHook", required=True, ignore=["predictor."]),
    dict(type="nda_mm.FiniteLossHook"),
]
