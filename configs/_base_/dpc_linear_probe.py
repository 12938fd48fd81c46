# A linear classifier on DPC's frozen encoder: normalization uses the running statistics of the pretraining and dropout
# is off, so a clip always has the same features. The encoder needs a checkpoint. Without one, or with one that does not
# fit, the run stops instead of training on random features.
_base_ = ["dpc_finetuning.py"]

model = dict(backbone=dict(frozen=True, init_cfg=dict(type="Pretrained", checkpoint="")))
optim_wrapper = dict(paramwise_cfg=None)
custom_hooks = [
    dict(type="nda_mm.PretrainedCheckHook", required=True, ignore=["predictor."]),
    dict(type="nda_mm.FiniteLossHook"),
]
