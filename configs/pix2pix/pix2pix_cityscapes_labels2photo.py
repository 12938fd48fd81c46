# Pix2Pix from Cityscapes' labels to photographs (Isola et al., CVPR 2017): mmagic's networks, 200 epochs of 2,975
# pairs.
# Tested as in that paper, by a segmenter trained on real photographs. Give any network for the 19 classes that
# torch.jit.save wrote, at the resolution (height, width) it was trained for:
#   tools/test.py pix2pix_cityscapes_labels2photo CKPT \
#       --cfg-options test_evaluator.metrics.1.segmenter.checkpoint=segmenter.pt
# or an mmsegmentation model: segmenter=dict(type="mmengine", config=..., checkpoint=...).
_base_ = ["mmagic::_base_/models/base_pix2pix.py", "../_base_/datasets/cityscapes_pairs.py", "../_base_/gan_runtime.py"]

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
