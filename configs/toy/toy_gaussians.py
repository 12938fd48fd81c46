# A GAN of points in the plane: eight Gaussians on a ring. No download, half a minute on one CPU core.
_base_ = "../_base_/gan_runtime.py"

max_iters = 1_500  # one step of each network

model = dict(
    type="nda_mm.NDAGGAN",
    adversarial_loss="logistic",
    # Points are already in [-1, 1], so there is no scaling.
    data_preprocessor=dict(type="nda_mm.BatchDataPreprocessor", mean=[0.0], std=[1.0]),
    generator=dict(type="nda_mm.PointGenerator", noise_size=4, width=64, depth=2),
    discriminator=dict(type="nda_mm.PointDiscriminator", width=64, depth=2),
    ema_config=dict(type="nda_mm.BatchedMovingAverage", momentum=1e-2, interval=1, start_iter=100),
)

optimizer = dict(type="Adam", lr=1e-3, betas=(0.5, 0.9))
optim_wrapper = dict(generator=dict(optimizer=optimizer), discriminator=dict(optimizer=optimizer))

points = dict(type="nda_mm.ToyGaussians", modes=8, radius=1.0, std=0.05, pipeline=[dict(type="PackInputs")])
train_dataloader = dict(
    batch_size=64,
    num_workers=0,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    dataset=dict(split="train", **points),
)
val_dataloader = dict(
    batch_size=128,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(split="test", num_points=10_000, **points),
)
test_dataloader = val_dataloader
train_cfg = dict(max_iters=max_iters, val_interval=250, data_on_device=True)

val_evaluator = dict(metrics=[dict(type="nda_mm.HighQualityRatio", fake_nums=10_000)])
test_evaluator = val_evaluator

default_hooks = dict(logger=dict(interval=50), checkpoint=dict(interval=500))
custom_hooks = [dict(type="nda_mm.FiniteLossHook"), dict(type="nda_mm.PointGridHook", interval=500)]
