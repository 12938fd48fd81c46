# HMDB51 from DPC's encoder; the checkpoint is that of the pretraining, as it is:
#   python tools/train.py dpc_finetune_hmdb51 --cfg-options model.backbone.init_cfg.type=Pretrained \
#       model.backbone.init_cfg.checkpoint=work_dirs/dpc_ucf101/epoch_300.pth
# From scratch, all at the full rate: --cfg-options optim_wrapper.paramwise_cfg=None
_base_ = ["../_base_/dpc_finetuning.py", "../_base_/datasets/hmdb51_clips.py"]

model = dict(cls_head=dict(num_classes=51))
