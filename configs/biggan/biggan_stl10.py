# BigGAN on STL-10 at 48x48, without classes. Using 48 pixels and the 100,000 unlabeled images is common practice since
# SNGAN (Miyato et al., 2018). CIFAR-10's networks support this size unchanged: their first map is 6x6 instead of 4x4.
# The paper's settings for STL-10 are not known; these are CIFAR-10's: 97,500 steps are 250 epochs.
_base_ = "biggan_celeba64.py"

width = 4 * 64
model = dict(
    generator=dict(
        output_scale=48,
        input_scale=6,
        arch_cfg=dict(
            in_channels=[width] * 3,
            out_channels=[width] * 3,
            upsample=[True] * 3,
            resolution=[12, 24, 48],
            attention=[False] * 3,
        ),
    ),
    discriminator=dict(
        input_scale=48,
        arch_cfg=dict(
            in_channels=[3] + [width] * 3,
            out_channels=[width] * 4,
            downsample=[True, True, False, False],
            resolution=[24, 12, 12, 12],
            attention=[False] * 4,
        ),
    ),
)
dataset = dict(
    _delete_=True,
    type="nda_mm.STL10",
    data_root="data/stl10",
    size=48,
    image_key="gt",
    pipeline=[dict(type="PackInputs")],
)
train_dataloader = dict(dataset=dict(split="unlabeled", **dataset))
test_dataloader = dict(dataset=dict(split="test", **dataset))
