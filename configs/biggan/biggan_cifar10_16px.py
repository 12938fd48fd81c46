# BigGAN on CIFAR-10 at 16x16 and width 16 instead of 64: natural images for two CPU cores and a night.
_base_ = "biggan_cifar10.py"

size = 16
generator_steps = 10_000
discriminator_steps = 4

# The networks for 32 pixels with one level less.
model = dict(
    generator=dict(
        output_scale=size,
        base_channels=16,
        arch_cfg=dict(
            in_channels=[64, 64],
            out_channels=[64, 64],
            upsample=[True, True],
            resolution=[8, 16],
            attention=[False, False],
        ),
    ),
    discriminator=dict(
        input_scale=size,
        base_channels=16,
        arch_cfg=dict(
            in_channels=[3, 64, 64],
            out_channels=[64, 64, 64],
            downsample=[True, True, False],
            resolution=[8, 4, 4],
            attention=[False, False, False],
        ),
    ),
    ema_config=dict(momentum=1e-3, start_iter=500),
)
train_dataloader = dict(dataset=dict(size=size))
val_dataloader = dict(dataset=dict(size=size))
test_dataloader = val_dataloader
train_cfg = dict(max_iters=generator_steps * discriminator_steps, val_interval=4_000)

network = dict(config="classifier_cifar10_16px.py")
distance = dict(_base_.distance, network=dict(_base_.network, **network), fake_nums=5_000, precision_recall_nums=5_000)
val_evaluator = dict(metrics=[distance])
test_evaluator = val_evaluator
default_hooks = dict(checkpoint=dict(interval=1_000))
