# Fine-tune DPC's encoder on UCF101; the pretraining checkpoint is used unchanged:
#   python tools/train.py dpc_finetune_ucf101 --cfg-options model.backbone.init_cfg.type=Pretrained \
#       model.backbone.init_cfg.checkpoint=work_dirs/dpc_ucf101/epoch_300.pth
# From scratch, with the full rate for all layers: --cfg-options optim_wrapper.paramwise_cfg=None
_base_ = ["../_base_/dpc_finetuning.py", "../_base_/datasets/ucf101_clips.py"]

model = dict(cls_head=dict(num_classes=101))
