# MoCo's detection protocol on PASCAL VOC (He et al., CVPR 2020; facebookresearch/moco, detection/configs): Faster R-CNN
# R50-C4, every layer trained with synchronized batch statistics, an extra normalization after the fifth stage,
# trainval07+12 -> test07, 24k iterations of 16 images: tools/dist_train.sh detection_voc_c4 8
# mmdet's own C4 recipe is the base, but is made for Caffe's weights: BGR, unscaled, stride in the first convolution,
# frozen statistics. MoCo's weights load into it without an error but give wrong results.
# mmdet, and so this recipe, lacks the precise batch statistics that the authors estimate before testing.
# Weights written by tools/convert_backbone.py go into both places:
#   --cfg-options model.backbone.init_cfg.checkpoint=moco.pth model.roi_head.shared_head.init_cfg.checkpoint=moco.pth
# On a CPU, the synchronized layers are replaced by plain ones automatically.
_base_ = "mmdet::pascal_voc/faster-rcnn_r50-caffe-c4_ms-18k_voc0712.py"
channels_last = True  # faster convolutions; results differ only by rounding
max_iters = 24_000
weights = dict(type="Pretrained", checkpoint="torchvision://resnet50")
norm_cfg = dict(type="SyncBN", requires_grad=True)

model = dict(
    data_preprocessor=dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True),
    backbone=dict(frozen_stages=-1, norm_cfg=norm_cfg, norm_eval=False, style="pytorch", init_cfg=weights),
    roi_head=dict(
        shared_head=dict(
            type="nda_mm.ResLayerExtraNorm", norm_cfg=norm_cfg, norm_eval=False, style="pytorch", init_cfg=weights
        )
    ),
)

voc = dict(  # the authors' framework also trains on objects marked difficult
    type="nda_mm.CheckedVOCDataset",
    data_root="data/VOCdevkit/",
    use_difficult=True,
    filter_cfg=dict(filter_empty_gt=True, min_size=32),
    pipeline=_base_.train_pipeline,
)
train_dataloader = dict(
    batch_size=2,
    dataset=dict(
        ignore_keys=["dataset_type"],
        datasets=[
            dict(ann_file=f"{year}/ImageSets/Main/trainval.txt", data_prefix=dict(sub_data_root=f"{year}/"), **voc)
            for year in ("VOC2007", "VOC2012")
        ],
    ),
)
val_dataloader = dict(dataset=dict(type="nda_mm.CheckedVOCDataset"))
test_dataloader = val_dataloader
# AP is the mean over IoU thresholds of 0.5 to 0.95, logged with AP50 and AP75; VOC2007's eleven points.
val_evaluator = dict(iou_thrs=[0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95])
test_evaluator = val_evaluator

train_cfg = dict(type="nda_mm.ExactIterLoop", max_iters=max_iters, val_interval=max_iters)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.001, by_epoch=False, begin=0, end=100),
    dict(type="MultiStepLR", by_epoch=False, begin=0, end=max_iters, milestones=[18_000, 22_000], gamma=0.1),
]
default_hooks = dict(checkpoint=dict(type="nda_mm.SafeCheckpointHook", interval=2_000, max_keep_ckpts=2))
custom_hooks = [
    dict(type="nda_mm.FiniteLossHook"),
    dict(type="nda_mm.PretrainedCheckHook", required=True, ignore=["layer4.", "fc."]),
    dict(
        type="nda_mm.PretrainedCheckHook",
        module="roi_head.shared_head",
        required=True,
        ignore=["conv1.", "bn1.", "layer1.", "layer2.", "layer3.", "fc."],
        new=["norm."],
    ),
]
randomness = dict(seed=2021, diff_rank_seed=True)
