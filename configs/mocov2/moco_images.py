# MoCo v2 on a folder of your own images, without labels: a ResNet-18 of width 32 for two CPU cores. With class folders,
# the log shows the kNN accuracy of the features after each epoch. One override sets the folder:
#   python tools/train.py moco_images --cfg-options train_dataloader.dataset.data_root=PATH
# At full width: model.backbone.base_channels=64 model.backbone.stem_channels=64 model.neck.in_channels=512
_base_ = "moco_bccd.py"

view_pipeline = [
    dict(type="RandomResizedCrop", scale=96, crop_ratio_range=(0.2, 1.0), backend="cv2"),
    dict(type="RandomFlip", prob=0.5),
    dict(
        type="RandomApply",
        # mmcv assumes BGR, so the gray image behind the saturation change has the weights of red and blue swapped.
        transforms=[dict(type="ColorJitter", brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, backend="cv2")],
        prob=0.8,
    ),
    dict(type="RandomGrayscale", prob=0.2, keep_channels=True, channel_weights=(0.299, 0.587, 0.114)),
]
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type="nda_mm.ImageFolder",
        data_root="data/images",
        size=128,
        image_key="img",
        pipeline=[dict(type="MultiView", num_views=2, transforms=[view_pipeline]), dict(type="PackInputs")],
    ),
)
train_cfg = dict(max_epochs=100)
custom_hooks = [*_base_.custom_hooks, dict(type="nda_mm.KNNHook", k=20)]
