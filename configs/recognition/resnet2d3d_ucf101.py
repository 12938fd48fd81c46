# UCF101 with only DPC's backbone, without its recurrent unit, in mmaction2's own recognizer and head:
#   python tools/convert_backbone.py work_dirs/dpc_ucf101/epoch_300.pth r2d3d.pth --to mmaction2
#   python tools/train.py resnet2d3d_ucf101 --cfg-options model.backbone.init_cfg.type=Pretrained \
#       model.backbone.init_cfg.checkpoint=r2d3d.pth
# From scratch, with the full rate for all layers: --cfg-options optim_wrapper.paramwise_cfg=None
_base_ = ["../_base_/resnet2d3d_finetuning.py", "../_base_/datasets/ucf101_clips.py"]

model = dict(cls_head=dict(num_classes=101))
