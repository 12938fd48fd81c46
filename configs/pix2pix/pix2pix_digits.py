# Pix2Pix from the outlines of handwritten digits to the digits: no download, minutes on two CPU cores.
_base_ = ["mmagic::_base_/models/base_pix2pix.py", "../_base_/gan_runtime.py"]
size = 32  # the smallest size that the U-Net accepts

model = dict(
    type="nda_mm.NDAPix2Pix",
    data_preprocessor=dict(data_keys=["img_edge", "img_digit"]),
    generator=dict(num_down=5, base_channels=16),
    discriminator=dict(num_conv=2, base_channels=16),
    default_domain="digit",
    reachable_domains=["digit"],
    related_domains=["digit", "edge"],
)
optim_wrapper = dict(
    generators=dict(optimizer=dict(type="Adam", lr=1e-3, betas=(0.5, 0.999))),
    discriminators=dict(optimizer=dict(type="Adam", lr=1e-3, betas=(0.5, 0.999))),
)
pipeline = [dict(type="PackInputs", keys=["img_edge", "img_digit"], data_keys=["img_edge", "img_digit"])]
train_dataloader = dict(
    batch_size=32,
    num_workers=0,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    dataset=dict(type="nda_mm.DigitEdges", split="train", size=size, pipeline=pipeline),
)
val_dataloader = dict(
    batch_size=64,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(type="nda_mm.DigitEdges", split="test", size=size, pipeline=pipeline),
)
test_dataloader = val_dataloader
train_cfg = dict(max_iters=1_500, val_interval=500)

# The classifier of the digit GANs at its own image size, trained with its own recipe when first needed (seconds).
network = dict(type="mmpretrain", config="classifier_digits.py", train_if_missing=True)
val_evaluator = dict(metrics=[dict(type="nda_mm.TranslationScores", target="digit", network=network)])
test_evaluator = val_evaluator

default_hooks = dict(logger=dict(interval=50), checkpoint=dict(interval=500))
custom_hooks = [
    dict(type="nda_mm.FiniteLossHook"),
    dict(type="nda_mm.NegativeGridHook"),
    dict(type="nda_mm.TranslationGridHook", source="edge", target="digit", num_images=12, scale=2),
]
