# UCF101 with a linear classifier on DPC's frozen features:
#   python tools/train.py dpc_linear_ucf101 --cfg-options model.backbone.init_cfg.checkpoint=CHECKPOINT
_base_ = ["../_base_/dpc_linear_probe.py", "../_base_/datasets/ucf101_clips.py"]

model = dict(cls_head=dict(num_classes=101))
