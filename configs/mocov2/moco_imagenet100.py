# MoCo v2 on ImageNet-100, ResNet-50: mmpretrain's own recipe for ImageNet (8 GPUs with 32 images each, 200 epochs) on
# the 100 classes that tools/make_imagenet100.py links. The queue keeps its 65,536 keys: about half of the images.
_base_ = "mmpretrain::mocov2/mocov2_resnet50_8xb32-coslr-200e_in1k.py"
channels_last = True  # faster convolutions; results differ only by rounding

dataset = dict(type="CustomDataset", data_root="data/imagenet100")  # classes are ordered by folder name

train_dataloader = dict(dataset=dict(_delete_=True, data_prefix="train", pipeline=_base_.train_pipeline, **dataset))
train_cfg = dict(type="nda_mm.ExactEpochLoop")
default_hooks = dict(checkpoint=dict(type="nda_mm.SafeCheckpointHook", interval=5))
randomness = dict(seed=2021, diff_rank_seed=True)

eval_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="ResizeEdge", scale=256, edge="short"),
    dict(type="CenterCrop", crop_size=224),
    dict(type="PackInputs"),
]
custom_hooks = [
    dict(type="nda_mm.FiniteLossHook"),
    dict(
        type="nda_mm.KNNHook",
        bank=dict(data_prefix="train", pipeline=eval_pipeline, **dataset),
        test=dict(data_prefix="val", pipeline=eval_pipeline, **dataset),
        k=200,
        interval=10,
        batch_size=64,
        num_workers=8,
    ),
]
