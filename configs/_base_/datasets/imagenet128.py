# ImageNet for GANs at 128x128: mmagic's own reader and transforms, the image under the name that its GANs read.
# tools/prepare_data.py imagenet links the images and writes the lists of those that can be read.
dataset_type = "ImageNet"
data_root = "data/imagenet"
pipeline = [
    dict(type="LoadImageFromFile", key="gt"),
    dict(type="CenterCropLongEdge", keys=["gt"]),
    dict(type="Resize", scale=(128, 128), keys=["gt"], backend="pillow"),
    dict(type="PackInputs"),
]

train_dataloader = dict(
    batch_size=32,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    dataset=dict(
        type=dataset_type, data_root=data_root, ann_file="meta/train.txt", data_prefix="train", pipeline=pipeline
    ),
)
test_dataloader = dict(
    batch_size=64,
    num_workers=8,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(type=dataset_type, data_root=data_root, ann_file="meta/val.txt", data_prefix="val", pipeline=pipeline),
)
