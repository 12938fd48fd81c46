# TSM on UCF101: mmaction2's own recipe for a ResNet-50, from a 2-D backbone pretrained on still images.
# Data: data/ucf101, in the layout of mmaction2's tools/data/ucf101, with its list of videos for split 1.
# Backbone: tools/convert_backbone.py CKPT data/backbones/resnet50.pth --to torchvision --check tsm_ucf101
# For a different file: --cfg-options model.backbone.pretrained=F. From scratch:
# --cfg-options model.backbone.pretrained=None model.backbone.pretrained2d=False
_base_ = "mmaction::recognition/tsm/tsm_imagenet-pretrained-r50_8xb16-1x1x8-50e_kinetics400-rgb.py"
channels_last = True  # faster convolutions; results differ only by rounding

model = dict(backbone=dict(pretrained="data/backbones/resnet50.pth"), cls_head=dict(num_classes=101))

videos = dict(video="data/ucf101/videos")
train_dataloader = dict(dataset=dict(ann_file="data/ucf101/ucf101_train_split_1_videos.txt", data_prefix=videos))
val_dataloader = dict(dataset=dict(ann_file="data/ucf101/ucf101_val_split_1_videos.txt", data_prefix=videos))
test_dataloader = dict(dataset=dict(ann_file="data/ucf101/ucf101_val_split_1_videos.txt", data_prefix=videos))

train_cfg = dict(type="nda_mm.ExactEpochLoop")
default_hooks = dict(checkpoint=dict(type="nda_mm.SafeCheckpointHook"))
custom_hooks = [dict(type="nda_mm.VideoBackboneCheckHook"), dict(type="nda_mm.FiniteLossHook")]
