# Cityscapes as the authors of Pix2Pix publish it: 2,975 and 500 pairs of 256x256 pixels in
# data/pix2pix/cityscapes/{train,val}, the photograph left, the labels, painted in their colors, right.
# `python tools/prepare_data.py cityscapes cityscapes.tar.gz` unpacks and checks them. It makes them, given what
# Cityscapes itself gives out, leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip.
pack = [
    dict(
        type="KeyMapper",
        mapping=dict(img_photo="img_A", img_label="img_B"),
        remapping=dict(img_photo="img_photo", img_label="img_label"),
    ),
    dict(type="PackInputs", keys=["img_photo", "img_label"], data_keys=["img_photo", "img_label"]),
]
load = dict(type="LoadPairedImageFromFile", key="pair", domain_a="A", domain_b="B", color_type="color")
both = ["img_A", "img_B"]
train_pipeline = [
    load,
    dict(type="Resize", keys=both, scale=(286, 286), interpolation="bicubic"),
    dict(type="FixedCrop", keys=both, crop_size=(256, 256)),
    dict(type="Flip", keys=both, direction="horizontal"),
    *pack,
]
test_pipeline = [load, dict(type="Resize", keys=both, scale=(256, 256), interpolation="bicubic"), *pack]
pairs = dict(type="nda_mm.PairedImages", data_root="data/pix2pix/cityscapes", test_dir="val")

train_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    dataset=dict(pipeline=train_pipeline, **pairs),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(pipeline=test_pipeline, test_mode=True, **pairs),
)
test_dataloader = val_dataloader
