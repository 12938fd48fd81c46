# Linear probe of a ResNet-50 trained by moco_imagenet100.py or nda_moco_imagenet100.py: mmpretrain's own recipe for
# MoCo's protocol on ImageNet (8 GPUs with 32 images each, 100 epochs), on the classes of tools/make_imagenet100.py.
#   python tools/train.py linear_imagenet100 --cfg-options model.backbone.init_cfg.checkpoint=CHECKPOINT
_base_ = "mmpretrain::mocov2/benchmarks/resnet50_8xb32-linear-steplr-100e_in1k.py"
channels_last = True  # faster convolutions; results differ only by rounding

dataset = dict(type="CustomDataset", data_root="data/imagenet100")

model = dict(data_preprocessor=dict(_base_.data_preprocessor, num_classes=100), head=dict(num_classes=100))
train_dataloader = dict(dataset=dict(_delete_=True, data_prefix="train", pipeline=_base_.train_pipeline, **dataset))
val_dataloader = dict(dataset=dict(_delete_=True, data_prefix="val", pipeline=_base_.test_pipeline, **dataset))
test_dataloader = val_dataloader
train_cfg = dict(type="nda_mm.ExactEpochLoop", val_interval=10)
default_hooks = dict(checkpoint=dict(type="nda_mm.SafeCheckpointHook"))
custom_hooks = [dict(type="nda_mm.PretrainedCheckHook", required=True), dict(type="nda_mm.FiniteLossHook")]
randomness = dict(seed=2021, diff_rank_seed=True)
