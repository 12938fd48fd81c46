# Motions of digits by DPC's backbone alone, without its recurrent unit, under mmaction2's own recognizer and head:
#   python tools/convert_backbone.py work_dirs/dpc_digits/epoch_16.pth r2d3d.pth --to mmaction2
#   python tools/train.py resnet2d3d_digits --cfg-options model.backbone.init_cfg.type=Pretrained \
#       model.backbone.init_cfg.checkpoint=r2d3d.pth
# Without them, from scratch.
_base_ = ["../_base_/resnet2d3d_finetuning.py", "../_base_/datasets/moving_digits_clips.py"]

model = dict(
    backbone=dict(base_channels=8, conv1_kernel=(1, 3, 3), spatial_strides=(1, 2, 1, 1)),
    cls_head=dict(num_classes=8, in_channels=32),
    data_preprocessor=dict(mean=[21.1] * 3, std=[55.7] * 3),
)

# In so few steps a tenth of the rate would leave the encoder where it was; from scratch needs no other settings.
optim_wrapper = dict(optimizer=dict(lr=3e-3), paramwise_cfg=None)
