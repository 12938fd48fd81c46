# Motions of digits with only DPC's backbone, without its recurrent unit, in mmaction2's own recognizer and head:
#   python tools/convert_backbone.py work_dirs/dpc_digits/epoch_16.pth r2d3d.pth --to mmaction2
#   python tools/train.py resnet2d3d_digits --cfg-options model.backbone.init_cfg.type=Pretrained \
#       model.backbone.init_cfg.checkpoint=r2d3d.pth
# Without these options, it trains from scratch.
_base_ = ["../_base_/resnet2d3d_finetuning.py", "../_base_/datasets/moving_digits_clips.py"]

model = dict(
    backbone=dict(base_channels=8, conv1_kernel=(1, 3, 3), spatial_strides=(1, 2, 1, 1)),
    cls_head=dict(num_classes=8, in_channels=32),
    data_preprocessor=dict(mean=[21.1] * 3, std=[55.7] * 3),
)

# With a tenth of the rate, the encoder would hardly change in so few steps. Training from scratch uses the same rate.
optim_wrapper = dict(optimizer=dict(lr=3e-3), paramwise_cfg=None)
