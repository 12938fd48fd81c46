# Pix2Pix from Cityscapes' labels to photographs (Isola et al., CVPR 2017): mmagic's networks, 200 epochs of 2,975
# pairs.
# Tested as in that paper, with a segmenter trained on real photographs. Use any network for the 19 classes saved with
# torch.jit.save, at the resolution (height, width) it was trained for:
#   tools/test.py pix2pix_cityscapes_labels2photo CKPT \
#       --cfg-options test_evaluator.metrics.1.segmenter.checkpoint=segmenter.pt
# or an mmsegmentation model: segmenter=dict(type="mmengine", config=..., checkpoint=...).
_base_ = ["mmagic::_base_/models/base_pix2pix.py", "../_base_/gan_runtime.py"]

# Cityscapes as published by the authors of Pix2Pix: 2,975 and 500 pairs of 256x256 pixels in
# data/pix2pix/cityscapes/{train,val}, with the photograph on the left and the labels, drawn in their colors, on the
# right. `python tools/prepare_data.py cityscapes cityscapes.tar.gz` unpacks and checks them. It can also make the pairs
# from Cityscapes' own archives, leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip.
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

model = dict(
    type="nda_mm.NDAPix2Pix",
    data_preprocessor=dict(data_keys=["img_photo", "img_label"]),
    default_domain="photo",
    reachable_domains=["photo"],
    related_domains=["photo", "label"],
)
optim_wrapper = dict(
    generators=dict(optimizer=dict(type="Adam", lr=2e-4, betas=(0.5, 0.999))),
    discriminators=dict(optimizer=dict(type="Adam", lr=2e-4, betas=(0.5, 0.999))),
)
train_cfg = dict(max_iters=595_000, val_interval=29_750)
val_evaluator = dict(metrics=[dict(type="nda_mm.TranslationScores", target="photo")])
test_evaluator = dict(
    metrics=[
        dict(type="nda_mm.TranslationScores", target="photo"),
        dict(
            type="nda_mm.SegmentationScores",
            target="photo",
            labels="label",
            colors="cityscapes",
            segmenter=dict(type="torchscript", checkpoint="data/cityscapes_segmenter.pt", size=(512, 1024)),
            prefix="segmented",
        ),
    ]
)
custom_hooks = [
    dict(type="nda_mm.FiniteLossHook"),
    dict(type="nda_mm.NegativeGridHook"),
    dict(type="nda_mm.TranslationGridHook", source="label", target="photo"),
]
