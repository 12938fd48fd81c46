# BigGAN on images of exactly two handwritten digits: does the generator learn the number? No download, minutes on two
# CPU cores. The plain twin of the NDA recipe.
_base_ = "../biggan/biggan_digits.py"

generator_steps = 1_000
size = 20

model = dict(
    num_classes=1,
    generator=dict(
        output_scale=size,
        input_scale=5,
        num_classes=1,
        arch_cfg=dict(in_channels=[32, 24], out_channels=[24, 16], resolution=[10, 20]),
    ),
    discriminator=dict(
        input_scale=size,
        num_classes=1,
        arch_cfg=dict(in_channels=[3, 16, 24], out_channels=[16, 24, 48], resolution=[10, 5, 5]),
    ),
)

images = dict(type="nda_mm.Numerosity", counts=[2], size=size, image_key="gt")
train_dataloader = dict(
    dataset=dict(_delete_=True, split="train", num_images=4_000, pipeline=[dict(type="PackInputs")], **images)
)
val_dataloader = dict(
    dataset=dict(_delete_=True, split="test", num_images=500, pipeline=[dict(type="PackInputs")], **images)
)
test_dataloader = val_dataloader
train_cfg = dict(max_iters=generator_steps, val_interval=250)

# A classifier that counts the digits, trained with its own recipe when first needed (about a minute).
network = dict(type="mmpretrain", config="classifier_numerosity.py", train_if_missing=True)
val_evaluator = dict(
    metrics=[
        dict(type="nda_mm.RuleBreaks", network=network, fake_nums=1_000, valid=[2]),
        dict(type="nda_mm.FrechetDistance", network=network, fake_nums=500, kernel_nums=0, score_splits=0),
    ]
)
test_evaluator = val_evaluator
