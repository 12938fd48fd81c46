# BCCD for backbones that moco_cifar10.py pretrains at width 16. Their stem keeps the image size, so images have half
# the side of those in detection_bccd.py, and levels half the stride. tools/transfer.py provides the backbones, or use
#   python tools/convert_backbone.py work_dirs/moco_cifar10/epoch_200.pth backbone.pth --to mmpretrain
#   python tools/train.py detection_bccd_cifar_stem --cfg-options \
#       model.backbone.init_cfg.type=Pretrained model.backbone.init_cfg.checkpoint=backbone.pth
_base_ = "detection_bccd.py"
width = 16
short_side = 112

model = dict(
    data_preprocessor=dict(mean=[125.307, 122.961, 113.8575], std=[51.5865, 50.847, 51.255]),  # of moco_cifar10.py
    backbone=dict(
        _delete_=True,
        type="mmpretrain.ResNet_CIFAR",
        depth=18,
        stem_channels=width,
        base_channels=width,
        out_indices=(2, 3),
        norm_eval=False,
    ),
    neck=dict(in_channels=[4 * width, 8 * width]),
    bbox_head=dict(anchor_generator=dict(strides=[4, 8, 16, 32])),
)

scale = (10 * short_side, short_side)
_base_.train_pipeline[2].scale = scale
_base_.test_pipeline[1].scale = scale
train_dataloader = dict(dataset=dict(pipeline=_base_.train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=_base_.test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=_base_.test_pipeline))
