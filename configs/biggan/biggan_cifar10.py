# BigGAN on CIFAR-10, class-conditional: the recipe of the NDA paper's authors (arXiv 2102.05113) without negatives.
_base_ = ["../_base_/gan_runtime.py", "../_base_/datasets/cifar10.py"]

generator_steps = 97_500  # 500 epochs of 50,000 images, 4 x 64 images per step
discriminator_steps = 4  # per generator step, each with new real images

model = dict(
    type="nda_mm.NDABigGAN",
    num_classes=10,
    # As in the authors' code: N(0, 0.02) for weights and embeddings, torch's uniform biases (mmagic's N02 zeroes them).
    uniform_biases=True,
    cuda_graphs=True,  # for the steps of both networks, on one GPU: six times as fast in bfloat16
    data_preprocessor=dict(type="nda_mm.BatchDataPreprocessor", output_channel_order="RGB"),
    generator=dict(
        type="BigGANGenerator",
        output_scale=32,
        noise_size=128,
        num_classes=10,
        base_channels=64,
        with_shared_embedding=False,
        split_noise=False,
        sn_eps=1e-8,
        sn_style="torch",
        auto_sync_bn=False,
        init_cfg=dict(type="N02"),
    ),
    discriminator=dict(
        type="BigGANDiscriminator",
        blocks_cfg=dict(type="nda_mm.PooledBigGANDiscResBlock"),  # a faster version of mmagic's block
        input_scale=32,
        num_classes=10,
        base_channels=64,
        sn_eps=1e-8,
        sn_style="torch",
        init_cfg=dict(type="N02"),
    ),
    generator_steps=1,
    discriminator_steps=discriminator_steps,
    ema_config=dict(type="nda_mm.BatchedMovingAverage", momentum=1e-4, interval=1, start_iter=1000),
)

optim_wrapper = dict(
    generator=dict(optimizer=dict(type="Adam", lr=2e-4, betas=(0.0, 0.999))),
    discriminator=dict(optimizer=dict(type="Adam", lr=2e-4, betas=(0.0, 0.999))),
)
# The images are read once and kept on the model's device: loading them one by one would take longer than a step on a
# GPU.
train_cfg = dict(max_iters=generator_steps * discriminator_steps, val_interval=20_000, data_on_device=True)

# Samples are drawn as by the paper's authors: from the EMA generator, with batch normalization over batches of 64. The
# network is a classifier that is trained with its own recipe when first needed. Set network.checkpoint if you have one,
# or train without validation: --cfg-options val_cfg=None. With the Inception weights, network=dict(type="inception",
# path=...) in your own recipe turns the distance into FID.
network = dict(type="mmpretrain", config="classifier_cifar10.py", train_if_missing=True)
distance = dict(
    type="nda_mm.FrechetDistance",
    network=network,
    fake_nums=10_000,
    precision_recall_nums=10_000,
    batch_statistics=True,
    score_splits=10,
)
val_evaluator = dict(metrics=[distance])
# tools/test.py compares with the test split, and with the images that the GAN was trained on.
train_distance = dict(real_set=_base_.train_dataloader.dataset, prefix="classifier_cifar10_train", score_splits=0)
test_evaluator = dict(metrics=[distance, dict(distance, **train_distance)])
# The best checkpoint by the first metric, whichever network it uses.
default_hooks = dict(checkpoint=dict(save_best="auto", rule="less"))
