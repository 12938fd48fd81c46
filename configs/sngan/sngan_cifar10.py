# SNGAN with a projection discriminator on CIFAR-10, class-conditional: mmagic's own networks and recipe
# (sngan-proj_woReLUinplace_lr2e-4-ndisc5-1xb64_cifar10-32x32) with loops that resume exactly. As in that recipe,
# images are flipped at random and there is no EMA. The paper's settings for it, if any, are not known.
_base_ = [
    "../_base_/gan_runtime.py",
    "../_base_/datasets/cifar10.py",
    "mmagic::_base_/models/sngan_proj/base_sngan_proj_32x32.py",
]

generator_steps = 100_000
discriminator_steps = 5
init_cfg = dict(type="studio")

model = dict(
    type="nda_mm.NDASNGAN",
    cuda_graphs=True,
    data_preprocessor=dict(type="nda_mm.BatchDataPreprocessor", output_channel_order="RGB"),
    generator=dict(num_classes=10, init_cfg=init_cfg),
    discriminator=dict(num_classes=10, init_cfg=init_cfg),
    discriminator_steps=discriminator_steps,
)
optim_wrapper = dict(
    generator=dict(optimizer=dict(type="Adam", lr=2e-4, betas=(0.5, 0.999))),
    discriminator=dict(optimizer=dict(type="Adam", lr=2e-4, betas=(0.5, 0.999))),
)
flip = dict(type="Flip", keys=["gt"], flip_ratio=0.5, direction="horizontal")
train_dataloader = dict(dataset=dict(pipeline=[flip, dict(type="PackInputs")]))
train_cfg = dict(max_iters=generator_steps * discriminator_steps, val_interval=25_000)

network = dict(type="mmpretrain", config="classifier_cifar10.py", train_if_missing=True)
val_evaluator = dict(
    metrics=[dict(type="nda_mm.FrechetDistance", network=network, fake_nums=10_000, sample_model="orig")]
)
test_evaluator = val_evaluator
default_hooks = dict(checkpoint=dict(save_best="auto", rule="less"))
