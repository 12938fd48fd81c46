# BigGAN 128 on ImageNet, class-conditional: mmagic's own recipe (biggan_ajbrock-sn_8xb32-1500kiters_imagenet1k-128x128:
# 8 GPUs with 32 images each, 8 batches per step) with loops that resume exactly and torch's spectral norm: mmagic's
# sn_style="ajbrock" has no gradient through sigma. A checkpoint trained with that style needs --cfg-options
# model.generator.sn_style=ajbrock model.discriminator.sn_style=ajbrock. tools/prepare_data.py imagenet writes the image
# list for this recipe. The paper's settings for it, if any, are not known.
_base_ = ["../_base_/gan_runtime.py", "mmagic::_base_/models/biggan/base_biggan_128x128.py"]

# ImageNet for GANs at 128x128: mmagic's own reader and transforms, with the image under the key that its GANs read.
# tools/prepare_data.py imagenet links the images and lists the readable ones.
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

generator_steps = 187_500  # 2,048 images per step: 300 epochs
discriminator_steps = 1
accumulated_batches = 8

model = dict(
    type="nda_mm.NDABigGAN",
    generator=dict(sn_style="torch"),
    discriminator=dict(sn_style="torch"),
    discriminator_steps=discriminator_steps,
    ema_config=dict(type="ExponentialMovingAverage", momentum=1e-4, interval=1, update_buffers=True, start_iter=20_000),
)
adam = dict(type="Adam", betas=(0.0, 0.999), eps=1e-6)
optim_wrapper = dict(
    generator=dict(accumulative_counts=accumulated_batches, optimizer=dict(lr=1e-4, **adam)),
    discriminator=dict(accumulative_counts=accumulated_batches, optimizer=dict(lr=4e-4, **adam)),
)
train_cfg = dict(max_iters=generator_steps * discriminator_steps * accumulated_batches, val_interval=10_000_000)

# Training has no metrics; for tools/test.py see biggan_celeba64.py.
val_dataloader = val_cfg = val_evaluator = None
network = dict(type="inception", path="data/inception-2015-12-05.pt")
test_evaluator = dict(metrics=[dict(type="nda_mm.FrechetDistance", network=network, fake_nums=50_000, score_splits=10)])
