# BigGAN on scikit-learn's handwritten digits: no download, minutes on two CPU cores. The plain twin of the NDA recipe.
_base_ = ["../_base_/gan_runtime.py", "../_base_/datasets/digits.py"]

generator_steps = 2_500
discriminator_steps = 1

model = dict(
    type="nda_mm.NDABigGAN",
    num_classes=10,
    cuda_graphs=True,
    data_preprocessor=dict(type="nda_mm.BatchDataPreprocessor", output_channel_order="RGB"),
    generator=dict(
        type="BigGANGenerator",
        output_scale=16,
        noise_size=32,
        num_classes=10,
        with_shared_embedding=False,
        split_noise=False,
        # With spectral norm in the generator too, small networks on a short budget drew one picture per class.
        with_spectral_norm=False,
        auto_sync_bn=False,
        init_cfg=dict(type="ortho"),
        arch_cfg=dict(
            in_channels=[48, 32],
            out_channels=[32, 16],
            upsample=[True, True],
            resolution=[8, 16],
            attention=[False, False],
        ),
    ),
    discriminator=dict(
        type="BigGANDiscriminator",
        blocks_cfg=dict(type="nda_mm.PooledBigGANDiscResBlock"),  # a faster version of mmagic's block
        input_scale=16,
        num_classes=10,
        sn_eps=1e-8,
        sn_style="torch",
        init_cfg=dict(type="ortho"),
        arch_cfg=dict(
            in_channels=[3, 16, 32],
            out_channels=[16, 32, 64],
            downsample=[True, True, False],
            resolution=[8, 4, 4],
            attention=[False, False, False],
        ),
    ),
    generator_steps=1,
    discriminator_steps=discriminator_steps,
    ema_config=dict(type="nda_mm.BatchedMovingAverage", momentum=5e-3, interval=1, start_iter=50),
)

optim_wrapper = dict(
    generator=dict(optimizer=dict(type="Adam", lr=5e-4, betas=(0.0, 0.999))),
    discriminator=dict(optimizer=dict(type="Adam", lr=1e-3, betas=(0.0, 0.999))),
)
train_dataloader = dict(batch_size=32, dataset=dict(size=16))
val_dataloader = dict(dataset=dict(size=16))  # the held-out images
test_dataloader = val_dataloader
train_cfg = dict(max_iters=generator_steps * discriminator_steps, val_interval=500, data_on_device=True)

# A small classifier of real digits provides the features of the Fréchet distance and the predicted classes. It is
# trained with its own recipe when first needed (seconds).
network = dict(type="mmpretrain", config="classifier_digits.py", train_if_missing=True)
val_evaluator = dict(
    metrics=[
        dict(type="nda_mm.FrechetDistance", network=network, fake_nums=1_000),
        dict(type="nda_mm.ConditionalAccuracy", network=network, fake_nums=1_000),
    ]
)
test_evaluator = val_evaluator

default_hooks = dict(logger=dict(interval=50), checkpoint=dict(interval=500, save_best="auto", rule="less"))
custom_hooks = [
    dict(type="nda_mm.FiniteLossHook"),
    dict(type="nda_mm.NegativeGridHook", scale=4),
    dict(type="nda_mm.SampleGridHook", interval=500, scale=4),
]
