# HMDB51 with a linear classifier on DPC's frozen features:
#   python tools/train.py dpc_linear_hmdb51 --cfg-options model.backbone.init_cfg.checkpoint=CHECKPOINT
_base_ = ["../_base_/dpc_linear_probe.py", "../_base_/datasets/hmdb51_clips.py"]

model = dict(cls_head=dict(num_classes=51))
