# BigGAN on a folder of your own images at 32x32, small enough for two CPU cores. The first sample grid takes minutes.
#   python tools/train.py biggan_images_cpu --cfg-options train_dataloader.dataset.data_root=PATH
_base_ = "biggan_images.py"

generator_steps = 3_000
discriminator_steps = 1

model = dict(
    generator=dict(base_channels=16),
    discriminator=dict(base_channels=16),
    discriminator_steps=discriminator_steps,
    ema_config=dict(momentum=5e-3, start_iter=50),
)
optim_wrapper = dict(generator=dict(optimizer=dict(lr=5e-4)), discriminator=dict(optimizer=dict(lr=1e-3)))
train_dataloader = dict(batch_size=32)
train_cfg = dict(max_iters=generator_steps * discriminator_steps)

default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval=250))
custom_hooks = [
    dict(type="nda_mm.FiniteLossHook"),
    dict(type="nda_mm.NegativeGridHook"),
    dict(type="nda_mm.SampleGridHook", interval=100),
]
