# StyleGAN2 (config F) on a folder of your own images at 256x256: mmagic's own recipe for FFHQ (stylegan2_c2_8xb4-
# 800kiters_ffhq-256x256) on one GPU with 32 images. The NDA paper's settings for it, if any, are not known. Override
# the folder and, if needed, the size (a power of two) in three places:
#   python tools/train.py stylegan2_images --cfg-options train_dataloader.dataset.data_root=PATH \
#       train_dataloader.dataset.size=64 model.generator.out_size=64 model.discriminator.in_size=64
# With few images, add model.augment.type=DiffAugment. N images take 196,608 x N bytes. For mixed precision, set
# model.generator.num_fp16_scales=4 model.discriminator.num_fp16_scales=4; --amp is an error, since mmagic ignores it.
_base_ = ["../_base_/gan_runtime.py", "mmagic::_base_/models/base_styleganv2.py"]
channels_last = False  # StyleGAN2's modulated convolutions are not torch.nn's; not measured

generator_steps = 800_000  # 25.6 million images
discriminator_steps = 1
size, batch_size = 256, 32

model = dict(
    type="nda_mm.NDAStyleGAN2",
    data_preprocessor=dict(type="nda_mm.BatchDataPreprocessor", output_channel_order="RGB"),
    generator=dict(out_size=size),
    discriminator=dict(in_size=size),
    # The EMA has a half-life of 10,000 images.
    ema_config=dict(interval=1, momentum=1 - 0.5 ** (batch_size / 10_000)),
)
# Adam's settings account for lazy regularization every 4 and 16 steps.
optim_wrapper = dict(
    generator=dict(optimizer=dict(type="Adam", lr=0.002 * 4 / 5, betas=(0.0, 0.99 ** (4 / 5)))),
    discriminator=dict(optimizer=dict(type="Adam", lr=0.002 * 16 / 17, betas=(0.0, 0.99 ** (16 / 17)))),
)
train_dataloader = dict(
    batch_size=batch_size,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    dataset=dict(
        type="nda_mm.ImageFolder",
        data_root="data/images",
        size=size,
        image_key="gt",
        pipeline=[
            dict(type="Flip", keys=["gt"], flip_ratio=0.5, direction="horizontal"),
            dict(type="PackInputs"),
        ],
    ),
)
train_cfg = dict(max_iters=generator_steps * discriminator_steps, val_interval=10_000_000)

# No metrics by default. To add them, set a network as in biggan_cifar10.py, and held-out images to compare with.
val_dataloader = val_cfg = val_evaluator = None
test_dataloader = test_cfg = test_evaluator = None
