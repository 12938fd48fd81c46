# Pix2Pix from masks to photographs of facades (Isola et al., CVPR 2017): mmagic's own recipe, 200 epochs of 400 pairs.
# The pairs, photograph left and mask right, are in data/pix2pix/facades/{train,val,test}, as published by the authors
# of Pix2Pix; `python tools/prepare_data.py facades facades.tar.gz` unpacks and checks them.
_base_ = "mmagic::pix2pix/pix2pix_vanilla-unet-bn_1xb1-80kiters_facades.py"
channels_last = True  # faster convolutions; results differ only by rounding

model = dict(type="nda_mm.NDAPix2Pix")
train_dataloader = dict(batch_size=1, dataset=dict(type="nda_mm.PairedImages"))
val_dataloader = dict(dataset=dict(type="nda_mm.PairedImages"))
test_dataloader = val_dataloader
train_cfg = dict(_delete_=True, type="nda_mm.ExactIterLoop", max_iters=80_000, val_interval=10_000)
# Inception-based scores would need a download, and 106 images say little about a distribution.
val_evaluator = dict(metrics=[dict(type="nda_mm.TranslationScores", target="photo")])
test_evaluator = val_evaluator
default_hooks = dict(
    checkpoint=dict(_delete_=True, type="nda_mm.SafeCheckpointHook", interval=5_000, by_epoch=False, max_keep_ckpts=3)
)
custom_hooks = [
    dict(type="nda_mm.FiniteLossHook"),
    dict(type="nda_mm.NegativeGridHook"),
    dict(type="nda_mm.TranslationGridHook", source="mask", target="photo"),
]
