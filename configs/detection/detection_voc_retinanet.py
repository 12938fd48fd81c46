# RetinaNet R50-FPN on PASCAL VOC 07+12, every layer of the backbone trained with synchronized batch statistics, as
# self-supervised weights require (their features are scaled differently from supervised ones). 8 GPUs, 2 images each.
# Weights written by tools/convert_backbone.py: --cfg-options model.backbone.init_cfg.checkpoint=moco.pth
_base_ = "mmdet::pascal_voc/retinanet_r50_fpn_1x_voc0712.py"
channels_last = True  # faster convolutions; results differ only by rounding
norm_cfg = dict(type="SyncBN", requires_grad=True)

model = dict(backbone=dict(frozen_stages=-1, norm_cfg=norm_cfg, norm_eval=False), neck=dict(norm_cfg=norm_cfg))

voc = dict(
    type="nda_mm.CheckedVOCDataset",
    data_root="data/VOCdevkit/",
    filter_cfg=dict(filter_empty_gt=True, min_size=32, bbox_min_size=32),
    pipeline=_base_.train_pipeline,
)
train_dataloader = dict(
    dataset=dict(
        dataset=dict(
            datasets=[
                dict(ann_file=f"{year}/ImageSets/Main/trainval.txt", data_prefix=dict(sub_data_root=f"{year}/"), **voc)
                for year in ("VOC2007", "VOC2012")
            ]
        )
    )
)
val_dataloader = dict(dataset=dict(type="nda_mm.CheckedVOCDataset"))
test_dataloader = val_dataloader

train_cfg = dict(type="nda_mm.ExactEpochLoop")
default_hooks = dict(checkpoint=dict(type="nda_mm.SafeCheckpointHook"))
custom_hooks = [
    dict(type="nda_mm.FiniteLossHook"),
    dict(type="nda_mm.PretrainedCheckHook", required=True, ignore=["fc."]),
]
randomness = dict(seed=2021, diff_rank_seed=True)
